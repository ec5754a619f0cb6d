"""What `create`, `use` and `rm` leave in the store is what buildx leaves there, byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from buildwright.builders import docker_contexts, endpoint
from buildwright.builders.create import Created, CreateOptions, create, driver_options, keep, leave, undo
from buildwright.builders.store import Store, Transaction
from buildwright.cli.command import Context
from buildwright.cli.main import main
from buildwright.errors import (
    BuilderNotFoundError,
    BuildwrightError,
    ConfigurationError,
    DriverOptionError,
    UsageError,
)
from tests.builders.scenarios import SCENARIOS, Scenario, files_of, prepare, recorded

if TYPE_CHECKING:
    from tests.conftest import Buildkitd

T = TypeVar("T")
NO_CLUSTER = """\
{"apiVersion": "v1", "kind": "Config", "current-context": "c",
 "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
 "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "ci"}}],
 "users": [{"name": "u", "user": {"token": "t"}}]}
"""
by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """A cluster that nobody answers for, at the path that the recording was made with as far as a store shows it."""
    path = tmp_path / "kubeconfig"
    path.write_text(NO_CLUSTER)
    return str(path)


def left_by_us(scenario: Scenario, folder: Path, kubeconfig: str) -> dict[str, str]:
    store = prepare(scenario, folder)
    for command in scenario.commands:
        out, said = io.StringIO(), io.StringIO()
        environ = {"HOME": str(folder), "BUILDX_CONFIG": str(store), "KUBECONFIG": kubeconfig}
        context = Context(stdin=io.StringIO(), stdout=out, stderr=said, environ=environ, cwd=str(folder))
        assert main(command, context) == 0, said.getvalue()
    return {name: without_pins(text) for name, text in files_of(store, kubeconfig).items()}


def without_pins(text: str) -> str:
    """A builder's file with endpoints as buildx makes them; that they keep the kubeconfig's context is asserted."""
    cluster = r"kubernetes:///(\w+)\?"
    assert len(re.findall(cluster, text)) == len(re.findall(rf"{cluster}context=c\\u0026", text))
    return re.sub(rf"{cluster}context=c\\u0026", r"kubernetes:///\1?", text).replace("\\u0026namespace=ci", "")


@by_name
def test_our_store_is_the_one_that_buildx_made(
    scenario: Scenario, tmp_path: Path, kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert left_by_us(scenario, tmp_path, kubeconfig) == recorded()[scenario.name]


@pytest.mark.peers
@by_name
def test_the_recording_is_what_buildx_makes_today(
    scenario: Scenario, tmp_path: Path, kubeconfig: str, buildkitd: Buildkitd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = prepare(scenario, tmp_path)
    for command in scenario.commands:
        buildkitd.buildx(*command, config=tmp_path, KUBECONFIG=kubeconfig)
    assert files_of(store, kubeconfig) == recorded()[scenario.name]


def in_store(folder: Path, work: Callable[[Transaction], T]) -> T:
    async def run() -> T:
        async with Store({"BUILDX_CONFIG": str(folder / "buildx")}).transaction() as transaction:
            return work(transaction)

    return asyncio.run(run())


def made(folder: Path, **options: object) -> Created:
    environ = {"HOME": str(folder)}
    (folder / ".kube").mkdir(exist_ok=True)
    (folder / ".kube" / "config").write_text(NO_CLUSTER)
    asked = CreateOptions(**options)  # type: ignore[arg-type]
    return in_store(folder, lambda transaction: create(transaction, docker_contexts.read(environ), environ, asked))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": "default", "driver": "remote"}, UsageError, "reserved"),
        ({"name": "1st", "driver": "remote"}, UsageError, "starts with a letter"),
        ({"append": True}, UsageError, "--name"),
        ({"append": True, "name": "none", "driver": "remote"}, BuilderNotFoundError, '"none"'),
        ({"name": "a"}, UsageError, "--driver"),
        ({"name": "a", "driver": "kubernets"}, UsageError, 'unknown driver "kubernets"'),
        ({"name": "a", "driver": "docker-container"}, UsageError, "docker-container"),
        ({"name": "a", "driver": "docker"}, UsageError, "docker"),
        ({"name": "a", "driver": "remote"}, UsageError, "no remote endpoint"),
        ({"name": "a", "driver": "remote", "endpoint": "http://h"}, UsageError, "http://h"),
        ({"name": "a", "driver": "kubernetes", "endpoint": "unix:///s"}, UsageError, "unix:///s"),
        ({"name": "a", "driver": "kubernetes", "driver_opts": ["replica=2"]}, DriverOptionError, "replica"),
        ({"name": "a", "driver": "kubernetes", "driver_opts": ["replicas=two"]}, DriverOptionError, "two"),
        ({"name": "a", "driver": "kubernetes", "driver_opts": ["replicas"]}, UsageError, "replicas"),
        ({"name": "a", "driver": "kubernetes", "driver_opts": [""]}, UsageError, "empty"),
        ({"name": "a", "driver": "kubernetes", "platforms": ["linux/"]}, UsageError, "linux/"),
        ({"name": "a", "driver": "kubernetes", "daemon_flags": "--a 'b"}, UsageError, "--buildkitd-flags"),
        ({"name": "a", "driver": "kubernetes", "daemon_config": "/none.toml"}, BuildwrightError, "/none.toml"),
        ({"name": "a", "driver": "kubernetes", "node": "_x"}, UsageError, "_x"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_saved(
    tmp_path: Path, options: dict[str, object], error: type[BuildwrightError], words: str
) -> None:
    with pytest.raises(error, match=r".") as caught:
        made(tmp_path, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert in_store(tmp_path, Transaction.list) == ((), ())


def test_an_existing_builder_is_only_changed_when_a_node_is_named(tmp_path: Path) -> None:
    made(tmp_path, name="a", driver="remote", endpoint="unix:///a")
    with pytest.raises(UsageError, match="add --append"):
        made(tmp_path, name="A", driver="remote", endpoint="unix:///b")
    with pytest.raises(UsageError, match='has the driver "remote"'):
        made(tmp_path, name="a", driver="kubernetes", append=True)
    with pytest.raises(UsageError, match='no node "other"'):
        made(tmp_path, name="a", node="other", endpoint="unix:///b")
    with pytest.raises(UsageError, match="a node at unix:///a already"):
        made(tmp_path, name="a", append=True, endpoint="unix:///a")


def test_a_name_is_made_up_for_a_builder_without_one(tmp_path: Path) -> None:
    name = made(tmp_path, driver="remote", endpoint="unix:///a").record.name
    assert in_store(tmp_path, lambda transaction: transaction.exists(name))


def test_changing_one_thing_of_a_node_keeps_the_others(tmp_path: Path) -> None:
    made(tmp_path, name="k", driver="kubernetes", daemon_flags="--debug", driver_opts=["replicas=2"])
    node = made(tmp_path, name="k", node="K0", platforms=["linux/arm64"]).builder.nodes[0]
    assert node.flags == ("--debug", "--allow-insecure-entitlement=network.host")
    assert dict(node.driver_opts) == {"replicas": "2"}
    assert [str(platform) for platform in node.platforms] == ["linux/arm64"]


def test_a_node_without_files_can_get_a_configuration_later(tmp_path: Path) -> None:
    (tmp_path / "daemon.toml").write_text("debug = true\n")
    made(tmp_path, name="k", driver="kubernetes")
    changed = made(tmp_path, name="k", node="k0", daemon_config=str(tmp_path / "daemon.toml"))
    assert changed.builder.nodes[0].files["buildkitd.toml"] == b"debug = true\n"
    assert changed.needs_restart


def test_undoing_puts_back_all_of_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "daemon.toml").write_text("debug = true\n")
    before = made(
        tmp_path,
        name="k",
        driver="kubernetes",
        platforms=["linux/amd64"],
        daemon_config=str(tmp_path / "daemon.toml"),
    ).record
    changed = made(tmp_path, name="k", append=True, platforms=["linux/amd64"])
    in_store(tmp_path, lambda transaction: undo(transaction, changed))
    assert in_store(tmp_path, lambda transaction: transaction.get("k")) == before


def test_undoing_leaves_alone_what_somebody_else_changed_meanwhile(tmp_path: Path) -> None:
    first = made(tmp_path, name="k", driver="kubernetes")
    second = made(tmp_path, name="k", append=True).record
    in_store(tmp_path, lambda transaction: undo(transaction, first))
    assert in_store(tmp_path, lambda transaction: transaction.get("k")) == second


def test_the_last_node_cannot_leave(tmp_path: Path) -> None:
    made(tmp_path, name="k", driver="kubernetes")
    with pytest.raises(UsageError, match="last node"):
        in_store(tmp_path, lambda transaction: leave(transaction, "k", "k0"))
    with pytest.raises(BuilderNotFoundError, match='"k9"'):
        in_store(tmp_path, lambda transaction: leave(transaction, "k", "k9"))
    with pytest.raises(UsageError, match="--node"):
        in_store(tmp_path, lambda transaction: leave(transaction, "k", ""))


def test_driver_options_are_csv_and_the_last_one_wins() -> None:
    assert driver_options(()) is None
    assert driver_options(["a=1,b=", '"c=x,y",a=2']) == {"a": "2", "b": "", "c": "x,y"}


def test_a_builder_cannot_have_the_name_of_a_docker_context(tmp_path: Path) -> None:
    contexts = docker_contexts.DockerContexts(active="default", hosts={"default": "", "desktop": ""})
    options = CreateOptions(name="desktop", driver="remote", endpoint="unix:///a")
    with pytest.raises(UsageError, match='"desktop"'):
        in_store(tmp_path, lambda transaction: create(transaction, contexts, {}, options))


def place(created: Created, index: int = 0) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(created.builder.nodes[index].endpoint).query, keep_blank_values=True))


def test_context_and_namespace_of_the_kubeconfig_are_kept(tmp_path: Path) -> None:
    kept = place(made(tmp_path, name="k", driver="kubernetes"))
    assert kept == {"context": "c", "deployment": kept["deployment"], "kubeconfig": "", "namespace": "ci"}
    other = made(tmp_path, name="k", append=True, node="k1", driver_opts=["namespace=other"])
    assert place(other, 1) == {"context": "c", "deployment": "k1", "kubeconfig": ""}


def test_a_changed_node_stays_in_its_cluster_unless_it_is_sent_to_another(tmp_path: Path) -> None:
    first = made(tmp_path, name="k", driver="kubernetes")
    assert first.placed == ("k0",)
    identified = {"k0": f"{first.builder.nodes[0].endpoint}&cluster=uid"}
    in_store(tmp_path, lambda transaction: keep(transaction, first, identified))
    for options in (["replicas=2"], ["context=c"]):
        changed = made(tmp_path, name="k", node="k0", driver_opts=options)
        assert (place(changed)["cluster"], changed.placed) == ("uid", ())
    text = NO_CLUSTER.replace('"contexts": [{', '"contexts": [{"name": "d", "context": {"cluster": "c"}}, {')
    environ = {"HOME": str(tmp_path)}
    (tmp_path / ".kube" / "config").write_text(text)
    asked = CreateOptions(name="k", node="k0", driver_opts=["context=d"])
    sent = in_store(tmp_path, lambda store: create(store, docker_contexts.read(environ), environ, asked))
    assert (place(sent).get("cluster"), place(sent)["context"], sent.placed) == (None, "d", ("k0",))


@pytest.mark.parametrize(
    ("environ", "options", "words"),
    [
        ({}, (), "no Kubernetes configuration was found"),
        ({"KUBECONFIG": "/no/such"}, (), "KUBECONFIG names /no/such, which does not exist"),
        ({"KUBECONFIG": "KUBECONFIG"}, ("context=d",), 'has no context "d": it defines c'),
    ],
)
def test_a_cluster_that_is_not_configured_makes_no_builder(
    tmp_path: Path, kubeconfig: str, environ: dict[str, str], options: Sequence[str], words: str
) -> None:
    environ = {
        "HOME": str(tmp_path),
        **{key: value.replace("KUBECONFIG", kubeconfig) for key, value in environ.items()},
    }
    asked = CreateOptions(name="k", driver="kubernetes", driver_opts=options)
    with pytest.raises(ConfigurationError, match=words):
        in_store(tmp_path, lambda store: create(store, docker_contexts.read(environ), environ, asked))
    assert in_store(tmp_path, Transaction.list) == ((), ())


def test_the_cluster_of_a_docker_context_is_kept_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / ".docker" / "contexts" / "meta" / hashlib.sha256(b"kube").hexdigest()
    folder.mkdir(parents=True)
    endpoints = {"docker": {"Host": "unix:///s"}, "kubernetes": {"Host": "https://k"}}
    (folder / "meta.json").write_text(json.dumps({"Name": "kube", "Endpoints": endpoints}))
    assert made(tmp_path, name="k", driver="kubernetes", endpoint="kube").builder.nodes[0].endpoint == "kube"


def test_the_same_builder_may_be_created_again_and_no_other(tmp_path: Path) -> None:
    same = {
        "name": "k",
        "driver": "kubernetes",
        "driver_opts": ["replicas=2", "env.TOKEN=hunter2"],
        "daemon_flags": "--debug",
    }
    first = made(tmp_path, **same).record
    again = made(tmp_path, **same)
    assert again.record == again.before == first
    assert not again.placed
    for other, words in (
        ({"driver_opts": ["replicas=3", "env.TOKEN=hunter3"]}, r"replicas: 2 -> 3.*buildwright update k"),
        ({"daemon_flags": "--trace"}, r"buildkitd-flags: --debug .* -> --trace"),
        ({"platforms": ["linux/arm64"]}, r"platform: none -> linux/arm64"),
        ({"driver": ""}, r"add --append"),
        (
            {"driver_opts": ["namespace=ci"]},
            r'namespace: none -> ci.*: remove it with "buildwright rm k" \("buildwright rm --keep-daemon k"',
        ),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            made(tmp_path, **{**same, **other})
        assert "hunter" not in str(caught.value)
    assert in_store(tmp_path, lambda transaction: transaction.get("k")) == first


def test_a_builder_that_update_cannot_move_is_to_be_removed_or_called_otherwise(tmp_path: Path) -> None:
    made(tmp_path, name="k", driver="kubernetes")
    made(tmp_path, name="n", driver="kubernetes", node="arm")
    environ = {"HOME": str(tmp_path)}
    (tmp_path / ".kube" / "config").write_text(NO_CLUSTER.replace('"namespace": "ci"', '"namespace": "other"'))
    for name, words in (
        ("k", r'\(another kubeconfig, context or namespace\): remove it with "buildwright rm k"'),
        ("n", r"\(no node n0\): choose another --name, or add --append"),
    ):
        asked = CreateOptions(name=name, driver="kubernetes")
        work = partial(create, contexts=docker_contexts.read(environ), environ=environ, options=asked)
        with pytest.raises(UsageError, match=words) as caught:
            in_store(tmp_path, work)
        assert "buildwright update" not in str(caught.value)


def test_the_same_builder_beside_nodes_that_were_added_is_the_same(tmp_path: Path) -> None:
    made(tmp_path, name="k", driver="kubernetes")
    more = made(tmp_path, name="k", append=True, node="arm").record
    assert made(tmp_path, name="k", driver="kubernetes").record == more


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            "kubernetes:///k?deployment=a&kubeconfig=%2Fc",
            "kubernetes:///k?deployment=b&kubeconfig=%2Fc&cluster=u",
            True,
        ),
        ("kubernetes:///k?deployment=a&kubeconfig=", "kubernetes:///k?deployment=b&context=c", True),
        ("kubernetes:///k?context=a", "kubernetes:///k?context=b", False),
        ("kubernetes:///k?kubeconfig=%2Fa", "kubernetes:///k?kubeconfig=%2Fb", False),
        ("some-context", "some-context", True),
        ("some-context", "kubernetes:///k?context=b", False),
    ],
)
def test_places_are_alike_as_far_as_they_are_said(one: str, other: str, same: bool) -> None:
    assert endpoint.alike(one, other) is same
