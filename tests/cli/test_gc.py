"""gc: what is left behind in a cluster is shown, and goes when that is wanted."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from buildwright.cli.command import Context
from buildwright.cli.main import main
from buildwright.drivers.kubernetes.building.lease import written
from buildwright.kube import api
from buildwright.testing.kube import ApiServer, Refusal, pod

if TYPE_CHECKING:
    from tests.conftest import Cluster

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """The API server double, in a thread of its own, since a command has its own loop."""
    started, ended = threading.Event(), threading.Event()
    holder: list[ApiServer] = []

    async def serve() -> None:
        async with ApiServer() as server:
            holder.append(server)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    yield holder[0]
    ended.set()
    thread.join()


@pytest.fixture
def run(tmp_path: Path, server: ApiServer) -> Run:
    kubeconfig = server.kubeconfig(tmp_path, namespace="ci")
    for name in ("ci", "elsewhere"):
        server.put("namespaces", {"metadata": {"name": name}}, "")

    def run(*argv: str, stdin: str = "") -> tuple[int, str, str]:
        out, said = io.StringIO(), io.StringIO()
        environ = {"HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig)}
        context = Context(
            stdin=io.StringIO(stdin), stdout=out, stderr=said, environ=environ, cwd=str(tmp_path)
        )  # fmt: skip
        return main(argv, context), out.getvalue(), said.getvalue()

    return run


def put(
    server: ApiServer, plural: str, name: str, namespace: str = "ci", *, of: str = "b0", **annotations: str
) -> None:
    """One of our objects, three hours old."""
    labels = {"app": of, "builder": "b", "app.kubernetes.io/managed-by": "buildwright"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    metadata["creationTimestamp"] = written(time.time() - 3 * 3600)
    metadata["annotations"] = {f"buildwright/{key}": value for key, value in annotations.items()}
    server.put(plural, {"metadata": metadata, "spec": {}}, namespace)


def kept(server: ApiServer) -> list[str]:
    return sorted(name for plural, _, name in server.objects if plural != "namespaces")


def test_a_misspelt_namespace_is_noticed(run: Run) -> None:
    code, _, said = run("gc", "--namespace", "cii")
    assert code == 1
    assert 'there is no namespace "cii"' in said


def test_a_namespace_that_may_not_be_read_is_taken_as_it_is(run: Run, server: ApiServer) -> None:
    server.refuse["get", "namespaces"] = Refusal(403, "Forbidden", "cannot get")
    assert run("gc", "--namespace", "ci")[0] == 0


def test_nothing_left_behind_is_said(run: Run) -> None:
    assert run("gc") == (0, "", "nothing is left behind in namespace ci\n")
    assert run("gc", "-A") == (0, "", "nothing is left behind in any namespace\n")


def test_what_is_left_behind_is_shown_and_goes(run: Run, server: ApiServer) -> None:
    put(server, "deployments", "b0", ttl="7200s")
    put(server, "secrets", "b0-config-1")
    put(server, "configmaps", "c0-config", of="c0")
    put(server, "persistentvolumeclaims", "buildkitd-d0-0", of="d0", kept="2026-01-01T00:00:00+00:00")
    server.put("configmaps", {"metadata": {"name": "theirs"}}, "ci")
    code, shown, said = run("gc", "--dry-run")
    assert (code, said) == (0, "3 objects would be removed\n")
    header, *rows = [line.split("   ")[0].strip() for line in shown.splitlines()]
    assert header == "OBJECT"
    assert rows == ["deployment/b0", "secret/b0-config-1", "configmap/c0-config"]
    assert "unused for 3 hours, its ttl is 2 hours" in shown
    assert "its workload c0 is gone" in shown
    assert len([key for key in server.objects if key[0] != "namespaces"]) == 5
    assert run("gc", stdin="n\n")[2].endswith("[y/N] nothing was removed\n")
    assert len([key for key in server.objects if key[0] != "namespaces"]) == 5
    assert run("gc", stdin="y\n")[2].endswith("[y/N] 3 objects removed\n")
    assert kept(server) == ["buildkitd-d0-0", "theirs"]


def test_what_is_made_anew_while_the_user_is_asked_stays(
    run: Run, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server, "configmaps", "b0-config")
    put(server, "configmaps", "c0-config", of="c0")

    async def confirmed(*_: Any) -> bool:
        server.drop("configmaps", "b0-config", "ci")
        put(server, "configmaps", "b0-config")
        return True

    monkeypatch.setattr("buildwright.cli.gc.confirmed", confirmed)
    assert run("gc")[2].endswith("1 object removed\n")
    assert kept(server) == ["b0-config"]


def test_what_is_made_anew_at_the_last_moment_stays(
    run: Run, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(server, "configmaps", "b0-config")
    delete = api.Cluster.delete

    async def late(self: api.Cluster, *args: Any, **options: Any) -> bool:
        server.drop("configmaps", "b0-config", "ci")
        put(server, "configmaps", "b0-config")
        return await delete(self, *args, **options)

    monkeypatch.setattr(api.Cluster, "delete", late)
    code, _, said = run("gc", "-f")
    assert (code, said) == (0, "0 objects removed\n")
    assert kept(server) == ["b0-config"]


def test_all_namespaces_are_cleaned(run: Run, server: ApiServer) -> None:
    put(server, "configmaps", "b0-config", "ci")
    put(server, "configmaps", "b0-config", "other")
    assert run("gc", "--force", "--namespace", "elsewhere")[2] == "nothing is left behind in namespace elsewhere\n"
    assert run("gc", "--force")[2] == "1 object removed\n"
    code, shown, said = run("gc", "--force", "-A", "--format", "json")
    assert (code, said) == (0, "1 object removed\n")
    document = json.loads(shown)
    assert (document["Kind"], document["Namespace"], document["Name"]) == ("ConfigMap", "other", "b0-config")
    assert document["Builder"] == "b"
    assert {plural for plural, _, _ in server.objects} == {"namespaces"}


def test_parts_that_the_workload_of_somebody_else_may_use_stay(run: Run, server: ApiServer) -> None:
    put(server, "configmaps", "b0-config")
    server.put("deployments", {"metadata": {"name": "b0"}}, "ci")
    assert run("gc", "-f")[2] == "nothing is left behind in namespace ci\n"


def test_the_label_of_a_build_that_is_over_is_taken_from_its_pod(run: Run, server: ApiServer) -> None:
    put(server, "deployments", "b0")
    labels = {"app": "b0", "app.kubernetes.io/managed-by": "buildwright", "buildwright/lease": "gone"}
    item = pod("b0-x", {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "buildkitd"}]}})
    item["metadata"]["namespace"] = "ci"
    server.put("pods", item, "ci")
    server.refuse["patch", "pods"] = Refusal(409, "Conflict", "the object has been modified")
    code, _, said = run("gc", "-f")
    assert code == 1
    assert said.startswith(
        "failed to remove pod/b0-x in namespace ci: the cluster refused: the object has been modif"
    )
    assert "0 objects removed" in said
    server.refuse.clear()
    assert run("gc", "-f")[2] == "1 object removed\n"
    assert "buildwright/lease" not in server.objects["pods", "ci", "b0-x"]["metadata"]["labels"]


def test_what_cannot_be_removed_is_named_and_the_rest_goes(run: Run, server: ApiServer) -> None:
    put(server, "configmaps", "b0-config")
    put(server, "secrets", "b0-config-1")
    server.refuse["delete", "secrets"] = Refusal(403, "Forbidden", 'User "u" cannot delete resource "secrets"')
    code, _, said = run("gc", "-f")
    assert code == 1
    first, second, last = said.splitlines()
    assert first.startswith("failed to remove secret/b0-config-1 in namespace ci: the cluster refused")
    assert second == "1 object removed"
    assert last == "ERROR: 1 object could not be removed"


def test_what_may_not_be_listed_is_left_out_unless_it_says_what_is_in_use(run: Run, server: ApiServer) -> None:
    put(server, "configmaps", "b0-config")
    server.refuse["list", "secrets"] = Refusal(403, "Forbidden", "no")
    code, _, said = run("gc", "--dry-run")
    assert code == 0
    assert said.splitlines()[0].startswith("WARNING: secrets are left out")
    server.refuse["list", "leases"] = Refusal(403, "Forbidden", "no")
    assert run("gc", "--dry-run")[0] == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--format", "yaml"], "choose table or json"),
        (["-A", "-n", "ci"], "exclude each other"),
        (["--builder", "b", "--context", "c"], "both name a cluster"),
        (["--context", "none"], 'has no context "none"'),
        (["--builder", "far"], "node far0 is not in a cluster"),
        (["x"], "takes no arguments"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, argv: list[str], words: str) -> None:
    run("create", "--name", "far", "--driver", "remote", "unix:///nobody.sock")
    code, _, said = run("gc", *argv)
    assert code == 1
    assert words in said


@pytest.mark.cluster
def test_a_builder_whose_time_is_over_goes_and_is_made_again(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    options = f"namespace={namespace},ttl=1h,persistent-volume-claim.requests.storage=1Gi"
    create = ("create", "--name", "b", "--driver", "kubernetes", "--driver-opt", options)
    cluster.buildwright(*create, "--bootstrap", config=tmp_path)
    gc = ("gc", "--builder", "b", "--force")
    assert cluster.buildwright(*gc, config=tmp_path).stderr == f"nothing is left behind in namespace {namespace}\n"
    long_ago = ("--overwrite", "buildwright/ttl=1ms", "buildwright/last-used=2020-01-01T00:00:00Z")
    cluster.kubectl("-n", namespace, "annotate", "statefulset", "b0", *long_ago)
    said = cluster.buildwright(*gc, config=tmp_path)
    names = [line.split()[0] for line in said.stdout.splitlines()[1:]]
    assert set(names) >= {"statefulset/b0", "configmap/b0-config", "persistentvolumeclaim/buildkitd-b0-0"}
    assert cluster.buildwright(*gc, config=tmp_path).stderr == f"nothing is left behind in namespace {namespace}\n"
    built = ("build", "--builder", "b", "-o", str(tmp_path / "out"), str(tmp_path))
    cluster.buildwright(*built, config=tmp_path)
    assert (tmp_path / "out" / "Dockerfile").exists()


def objects(cluster: Cluster, namespace: str, *selection: str) -> list[Any]:
    """Everything in a namespace of any kind that can be listed, events left out."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").stdout.split()
    listed = ",".join(kind for kind in kinds if not kind.startswith("events"))
    return cluster.kubectl("-n", namespace, "get", listed, *selection, "-o", "name").stdout.split()


@pytest.mark.cluster
def test_after_rm_nothing_of_the_builder_is_left(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (keys / name).write_text(f"-----BEGIN {'PRIVATE KEY' if name == 'key.pem' else 'CERTIFICATE'}-----\n")
    (tmp_path / "buildkitd.toml").write_text(
        f'[registry."r.io"]\n  ca = ["{keys}/ca.pem"]\n'
        f'  [[registry."r.io".keypair]]\n    key = "{keys}/key.pem"\n    cert = "{keys}/cert.pem"\n'
    )
    options = f"namespace={namespace},persistent-volume-claim.requests.storage=1Gi"
    create = ("create", "--name", "b", "--driver", "kubernetes", "--driver-opt", options, "--bootstrap")
    cluster.buildwright(*create, "--buildkitd-config", tmp_path / "buildkitd.toml", config=tmp_path)
    made = {name.split("/")[0] for name in objects(cluster, namespace, "-l", "builder=b")}
    assert made >= {"configmap", "secret", "persistentvolumeclaim", "pod", "statefulset.apps"}
    assert "running server" in cluster.kubectl("-n", namespace, "logs", "-l", "builder=b").stdout
    cluster.buildwright("rm", "b", config=tmp_path)
    cluster.kubectl("-n", namespace, "wait", "--for=delete", "pod,pvc", "-l", "builder=b", "--timeout=60s")
    assert objects(cluster, namespace, "-l", "builder=b") == []
