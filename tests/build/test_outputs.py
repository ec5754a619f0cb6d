"""What the user asked to get becomes exporters, and receivers checked against the file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildwright.build.outputs import Receiver, receivers, resolve_outputs
from buildwright.drivers.driver import Traits
from buildwright.errors import UsageError
from buildwright.model.platform import Platform
from buildwright.model.request import BuildRequest, Output


def resolved(*outputs: Output, push: bool = False, tags: tuple[str, ...] = (), **more: object) -> tuple[Output, ...]:
    return resolve_outputs(BuildRequest(context=".", outputs=outputs, push=push, tags=tags, **more), Traits())  # type: ignore[arg-type]


def test_push_adds_an_image_output_named_by_the_tags() -> None:
    assert resolved(push=True, tags=("reg/a", "reg/b:1")) == (
        Output(type="image", attrs={"push": "true", "unpack": "false", "name": "reg/a,reg/b:1"}),
    )


def test_push_turns_an_image_output_into_a_pushed_one() -> None:
    (output,) = resolved(Output(type="image", attrs={"name": "reg/a", "unpack": "true"}), push=True)
    assert output.attrs == {"name": "reg/a", "unpack": "true", "push": "true"}


def test_registry_is_a_pushed_image() -> None:
    (output,) = resolved(Output(type="registry", attrs={"name": "reg/a"}))
    assert output == Output(type="image", attrs={"name": "reg/a", "push": "true", "unpack": "false"})


def test_pushing_needs_a_name() -> None:
    with pytest.raises(UsageError, match="tag is needed"):
        resolved(push=True)


def test_cacheonly_is_dropped_and_suppresses_the_default() -> None:
    request = BuildRequest(context=".", outputs=(Output(type="cacheonly"),))
    assert resolve_outputs(request, Traits(default_load=True)) == ()


def test_loading_into_docker_says_what_to_do_instead() -> None:
    with pytest.raises(UsageError, match="docker load"):
        resolve_outputs(BuildRequest(context="."), Traits(default_load=True))


def test_the_docker_exporter_takes_one_platform() -> None:
    with pytest.raises(UsageError, match="use the oci exporter"):
        resolved(
            Output(type="docker", dest="a.tar"), platforms=(Platform("linux", "amd64"), Platform("linux", "arm64"))
        )


@pytest.mark.parametrize("tag", ["Reg/UPPER", "a b", "reg/a:", ":tag", ""])
def test_a_malformed_tag_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="invalid tag"):
        resolved(tags=(tag,))


def test_receivers_follow_the_order_of_the_outputs(tmp_path: Path) -> None:
    outputs = (
        Output(type="image", attrs={"name": "a"}),
        Output(type="local", dest=str(tmp_path)),
        Output(type="oci", dest=str(tmp_path / "image.tar")),
        Output(type="tar"),
    )
    assert receivers(outputs, stdout_is_terminal=False) == (
        Receiver(index=1, dest=str(tmp_path), folder=True),
        Receiver(index=2, dest=str(tmp_path / "image.tar"), folder=False),
        Receiver(index=3, dest="-", folder=False),
    )


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (Output(type="local"), "dest is required"),
        (Output(type="local", dest="-"), "cannot be stdout"),
        (Output(type="local", dest="{file}"), "is a file"),
        (Output(type="tar", dest="{folder}"), "is a directory"),
        (Output(type="local", dest="/", attrs={"mode": "delete"}), "not below the working directory"),
    ],
)
def test_a_destination_of_the_wrong_kind_is_refused(output: Output, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    dest = (output.dest or "").format(file=tmp_path / "file", folder=tmp_path) or None
    with pytest.raises(UsageError, match=message):
        receivers((Output(type=output.type, dest=dest, attrs=output.attrs),), stdout_is_terminal=False)


def test_an_archive_is_not_written_to_a_terminal_and_stdout_takes_only_one() -> None:
    with pytest.raises(UsageError, match="refusing to write to console"):
        receivers((Output(type="tar"),), stdout_is_terminal=True)
    with pytest.raises(UsageError, match="multiple outputs"):
        receivers((Output(type="tar"), Output(type="oci")), stdout_is_terminal=False)
