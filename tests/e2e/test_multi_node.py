"""One build on two nodes of a builder: the same image as the real buildx makes, or none at all."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest

from tests.e2e.front import Front, front_of

if TYPE_CHECKING:
    from tests.conftest import Buildkitd

pytestmark = pytest.mark.peers

BOTH = ("--platform", "linux/amd64,linux/arm64")
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
TYPES = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nARG TARGETARCH\nCOPY for-$TARGETARCH /for\n")
    for architecture in ("amd64", "arm64"):
        (folder / f"for-{architecture}").write_text(architecture)
    return folder


@pytest.fixture
def config(buildkitd: Buildkitd, private_buildkitd: Buildkitd, tmp_path: Path) -> Path:
    """A configuration whose current builder `two` has the nodes `amd` and `arm`; the real buildx made it."""
    folder = tmp_path / "config"
    create = ("create", "--name", "two", "--driver", "remote")
    buildkitd.buildx(*create, "--use", "--node", "amd", "--platform", "linux/amd64", buildkitd.address, config=folder)
    buildkitd.buildx(
        *create, "--append", "--node", "arm", "--platform", "linux/arm64", private_buildkitd.address, config=folder
    )
    return folder


def pushing(registry: str) -> str:
    return f"type=registry,registry.insecure=true,name={registry}"


def fetch(registry: str, path: str) -> tuple[str, bytes]:
    """The digest and bytes of a manifest; "" and nothing when there is none."""
    request = urllib.request.Request(f"http://{registry}/v2/{path}", headers={"Accept": TYPES})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.headers["Docker-Content-Digest"], answer.read()
    except HTTPError as error:
        error.close()
        return "", b""


def entries(index: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(index)["manifests"]
    return found


def test_the_same_build_has_the_same_digest_as_with_buildx(
    buildkitd: Buildkitd, config: Path, context: Path, tmp_path: Path
) -> None:
    registry, told = buildkitd.registry, {}
    for who, command in (("theirs", buildkitd.buildx), ("ours", buildkitd.buildwright)):
        metadata = tmp_path / f"{who}.json"
        command(
            "build", *BOTH, "--provenance", "false", "--metadata-file", metadata,
            "-o", "type=registry,registry.insecure=true",
            "--annotation", "index,manifest-descriptor:org.example.place=here",
            "--annotation", "manifest,manifest-descriptor[linux/arm64]:org.example.arm=1",
            "--annotation", "org.example.plain=manifest",
            "-t", f"{registry}/several/{who}:1", "-t", f"{registry}/several-more/{who}:2", context,
            config=config, **EPOCH,
        )  # fmt: skip
        told[who] = json.loads(metadata.read_text())
    digest = told["ours"]["containerimage.digest"]
    assert digest == told["theirs"]["containerimage.digest"]
    for name in ("several/ours/manifests/1", "several-more/ours/manifests/2"):
        assert fetch(registry, name) == fetch(registry, name.replace("ours", "theirs"))
        assert fetch(registry, name)[0] == digest
    index = json.loads(fetch(registry, "several/ours/manifests/1")[1])
    assert index["annotations"] == {"org.example.place": "here"}
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    assert told["ours"]["containerimage.descriptor"]["digest"] == digest
    assert told["ours"]["image.name"] == f"{registry}/several/ours:1,{registry}/several-more/ours:2"
    assert told["ours"]["buildx.build.ref"].startswith("two/amd/")


def test_docker_types_give_the_same_list_as_with_buildx(buildkitd: Buildkitd, config: Path, context: Path) -> None:
    registry = buildkitd.registry
    for who, command in (("theirs", buildkitd.buildx), ("ours", buildkitd.buildwright)):
        command(
            "build", *BOTH, "--provenance", "false", "-o", pushing(f"{registry}/docker-types/{who}:1"),
            context, config=config, **EPOCH,
        )  # fmt: skip
    ours, theirs = (fetch(registry, f"docker-types/{who}/manifests/1") for who in ("ours", "theirs"))
    assert ours[0]
    assert ours == theirs


def test_attestations_come_along_as_with_buildx(buildkitd: Buildkitd, config: Path, context: Path) -> None:
    registry, shapes = buildkitd.registry, []
    for who, command in (("theirs", buildkitd.buildx), ("ours", buildkitd.buildwright)):
        output = pushing(f"{registry}/attested/{who}:1")
        command("build", *BOTH, "--provenance", "mode=max", "-o", output, context, config=config, **EPOCH)
        found = entries(fetch(registry, f"attested/{who}/manifests/1")[1])
        digests = {entry["digest"] for entry in found}
        for entry in found:
            if "annotations" in entry:  # an attestation's own digest differs with the time of the build
                assert entry["annotations"]["vnd.docker.reference.digest"] in digests
                del entry["digest"], entry["size"]
        shapes.append(found)
    assert len(shapes[0]) == 4
    assert shapes[0] == shapes[1]


def test_progress_tells_the_nodes_apart(buildkitd: Buildkitd, config: Path, context: Path) -> None:
    name = f"{buildkitd.registry}/shown/app:1"
    shown = buildkitd.buildwright(
        "build", *BOTH, "--progress", "plain", "-o", pushing(name), context, config=config
    ).stderr
    for line in (
        "[amd internal] load build definition from Dockerfile",
        "[arm linux/arm64 2/2] COPY for-arm64 /for",
        "[amd] exporting to image",
        f"merging manifest list {name}",
    ):
        assert line in shown


def test_when_a_node_fails_the_tag_stays_and_the_node_is_named(
    buildkitd: Buildkitd, config: Path, context: Path
) -> None:
    registry = buildkitd.registry
    build = ("build", *BOTH, "-o", pushing(f"{registry}/kept/app:1"), context)
    buildkitd.buildwright(*build, config=config)
    before = fetch(registry, "kept/app/manifests/1")
    (context / "for-amd64").write_text("changed")
    (context / "for-arm64").unlink()
    failed = buildkitd.buildwright(*build, config=config, check=False)
    assert failed.returncode == 1
    assert failed.stderr.rstrip().endswith("(node arm, linux/arm64)")
    assert "for-arm64" in failed.stderr
    assert "merging" not in failed.stderr
    assert fetch(registry, "kept/app/manifests/1") == before


def test_a_node_that_is_gone_is_named(
    buildkitd: Buildkitd, private_buildkitd: Buildkitd, config: Path, context: Path
) -> None:
    private_buildkitd.kill()
    failed = buildkitd.buildwright(
        "build", *BOTH, "-o", pushing(f"{buildkitd.registry}/gone/app:1"), context, config=config, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.rstrip().endswith("(node arm, linux/arm64)")
    assert fetch(buildkitd.registry, "gone/app/manifests/1") == ("", b"")


def test_a_registry_that_refuses_the_tag_is_one_sentence(buildkitd: Buildkitd, config: Path, context: Path) -> None:
    with refusing_tags(buildkitd.registry) as host:
        failed = buildkitd.buildwright(
            "build", *BOTH, "--push", "-t", f"{host}/refused/app:1", context, config=config, check=False
        )
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == (
        f"ERROR: cannot write 1 in {host}/refused/app: the registry answered 403 (tags are frozen); "
        f"run docker login {host} with an account that may do this"
    )
    assert fetch(buildkitd.registry, "refused/app/manifests/1") == ("", b"")


def test_every_node_writes_its_own_folder(buildkitd: Buildkitd, config: Path, context: Path, tmp_path: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY for-$TARGETARCH /for\n")
    buildkitd.buildwright("build", *BOTH, "-o", tmp_path / "out", context, config=config)
    for architecture in ("amd64", "arm64"):
        assert (tmp_path / "out" / f"linux_{architecture}" / "for").read_text() == architecture


def test_every_node_reads_the_archive_on_stdin(buildkitd: Buildkitd, config: Path, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text in (("Dockerfile", "FROM scratch\nCOPY file /\n"), ("file", "from stdin")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    buildkitd.buildwright(
        "build", *BOTH, "-o", tmp_path / "out", "-", config=config, stdin=archive.getvalue().decode()
    )
    for architecture in ("amd64", "arm64"):
        assert (tmp_path / "out" / f"linux_{architecture}" / "file").read_text() == "from stdin"


def test_annotations_of_one_platform_reach_it_where_a_node_builds_several(
    buildkitd: Buildkitd, private_buildkitd: Buildkitd, context: Path, tmp_path: Path
) -> None:
    """The real buildx sends them to every node, and a node with several other platforms refuses them."""
    config = tmp_path / "three"
    create = ("create", "--name", "three", "--driver", "remote")
    buildkitd.buildx(
        *create, "--use", "--node", "x86", "--platform", "linux/amd64,linux/386", buildkitd.address, config=config
    )
    buildkitd.buildx(
        *create, "--append", "--node", "arm", "--platform", "linux/arm64", private_buildkitd.address, config=config
    )
    (context / "Dockerfile").write_text("FROM scratch\nCOPY for-amd64 /for\n")
    build = (
        "build", "--platform", "linux/amd64,linux/arm64,linux/386", "--provenance", "false",
        "--annotation", "manifest-descriptor[linux/arm64]:org.example.a=1",
    )  # fmt: skip
    output = pushing(f"{buildkitd.registry}/three/app:1")
    refused = buildkitd.buildx(*build, "-o", output, context, config=config, check=False)
    assert "no platform linux/arm64 found in source" in refused.stderr
    buildkitd.buildwright(*build, "-o", output, context, config=config)
    found = entries(fetch(buildkitd.registry, "three/app/manifests/1")[1])
    assert [(entry["platform"]["architecture"], entry.get("annotations")) for entry in found] == [
        ("amd64", None),
        ("386", None),
        ("arm64", {"org.example.a": "1"}),
    ]
    assert {entry["mediaType"] for entry in found} == {"application/vnd.oci.image.manifest.v1+json"}


def test_a_platform_that_only_workers_have_goes_to_the_first_that_runs_it(
    buildkitd: Buildkitd, private_buildkitd: Buildkitd, context: Path, tmp_path: Path
) -> None:
    config = tmp_path / "other"
    create = ("create", "--name", "two", "--driver", "remote")
    buildkitd.buildx(*create, "--use", "--node", "one", "--platform", "linux/arm64", buildkitd.address, config=config)
    buildkitd.buildx(*create, "--append", "--node", "other", private_buildkitd.address, config=config)
    for name, command in (("theirs", buildkitd.buildx), ("ours", buildkitd.buildwright)):
        metadata = tmp_path / f"{name}.json"
        shown = command(
            "build", *BOTH, "--progress", "plain", "--metadata-file", metadata,
            "-o", pushing(f"{buildkitd.registry}/rest/app:1"), context, config=config,
        ).stderr  # fmt: skip
        assert "merging manifest list" not in shown
        assert json.loads(metadata.read_text())["buildx.build.ref"].startswith("two/one/")


# --- a registry that refuses tags --------------------------------------------------------------------------------


class RefusingTags(Front):
    """Refuses manifests that are put under a tag."""

    def forward(self) -> None:
        if self.command == "PUT" and "/manifests/" in self.path and "/manifests/sha256:" not in self.path:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(403, [], b'{"errors":[{"code":"DENIED","message":"tags are frozen"}]}')
        else:
            super().forward()


def refusing_tags(registry: str) -> AbstractContextManager[str]:
    return front_of(registry, RefusingTags, "127.0.0.1")
