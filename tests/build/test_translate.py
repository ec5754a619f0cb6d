"""A request becomes the attributes, exporters and attestations that the daemon understands."""

from __future__ import annotations

import pytest

from buildwright.build.context import Inputs
from buildwright.build.translate import Daemon, translate
from buildwright.errors import UsageError
from buildwright.model.platform import Platform
from buildwright.model.request import BuildRequest, Output
from buildwright.model.solve import Exporter, SolveRequest

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def translated(
    request: BuildRequest, *outputs: Output, version: str = "v0.29.0", environ: dict[str, str] | None = None
) -> SolveRequest:
    return translate(
        request,
        ref="ref",
        inputs=Inputs(frontend_attrs={"filename": "Dockerfile"}, local_dirs={}),
        outputs=outputs,
        daemon=Daemon(version=version),
        vcs={"vcs:revision": "abc"},
        environ=environ or {},
    )


def test_every_flag_has_its_attribute() -> None:
    solve = translated(
        BuildRequest(
            context=".",
            target="prod",
            build_args={"A": "1"},
            labels={"L": "x"},
            platforms=(AMD64, ARM64),
            no_cache=True,
            pull=True,
        ),
        Output(type="image", attrs={"name": "a"}),
        environ={"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},
    )
    assert solve.frontend == "dockerfile.v0"
    assert solve.frontend_attrs == {
        "filename": "Dockerfile",
        "target": "prod",
        "build-arg:A": "1",
        "label:L": "x",
        "platform": "linux/amd64,linux/arm64",
        "no-cache": "",
        "image-resolve-mode": "pull",
        "vcs:revision": "abc",
    }
    assert solve.exporters == (Exporter(type="image", attrs={"name": "a"}),)


def test_a_syntax_argument_chooses_another_frontend() -> None:
    solve = translated(BuildRequest(context=".", build_args={"BUILDKIT_SYNTAX": "docker/dockerfile:1 x"}))
    assert solve.frontend == "gateway.v0"
    assert solve.frontend_attrs["source"] == "docker/dockerfile:1"
    assert solve.frontend_attrs["cmdline"] == "docker/dockerfile:1 x"


def test_provenance_is_minimal_unless_said_otherwise_and_where_it_is_known() -> None:
    request = BuildRequest(context=".")
    assert translated(request).frontend_attrs["attest:provenance"] == "mode=min,inline-only=true"
    assert "attest:provenance" not in translated(request, version="v0.10.6").frontend_attrs
    off = BuildRequest(context=".", attestations={"provenance": None})
    assert "attest:provenance" not in translated(off).frontend_attrs
    with pytest.raises(UsageError, match="NO_DEFAULT_ATTESTATIONS"):
        translated(request, environ={"BUILDX_NO_DEFAULT_ATTESTATIONS": "maybe"})
    with pytest.raises(UsageError, match="Attestations are not supported"):
        translated(BuildRequest(context=".", attestations={"sbom": "type=sbom"}), version="")


def test_several_outputs_need_a_daemon_that_knows_them() -> None:
    outputs = (Output(type="image"), Output(type="oci", dest="a"))
    assert len(translated(BuildRequest(context="."), *outputs).exporters) == 2
    with pytest.raises(UsageError, match=r"v0\.13"):
        translated(BuildRequest(context="."), *outputs, version="v0.12.5")


@pytest.mark.parametrize(
    ("version", "known"), [("v0.13.0", True), ("v0.12.5", False), ("v1.0.0", True), ("", False), ("master", True)]
)
def test_versions_compare_as_numbers(version: str, known: bool) -> None:
    assert Daemon(version=version).at_least((0, 13)) is known


def test_a_part_of_a_build_is_an_index_even_for_one_platform() -> None:
    request = BuildRequest(context=".", platforms=(ARM64,))
    solve = translate(
        request,
        ref="ref",
        inputs=Inputs(frontend_attrs={}, local_dirs={}),
        outputs=(),
        daemon=Daemon(version="v0.29.0"),
        vcs={},
        environ={},
        part=True,
    )
    assert (solve.frontend_attrs["platform"], solve.frontend_attrs["multi-platform"]) == ("linux/arm64", "true")
