"""The flags of build become one request, and its result becomes files and lines."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from buildwright.cli.build import COMMAND, to_request
from buildwright.cli.command import Context
from buildwright.cli.flags import parse
from buildwright.cli.main import main
from buildwright.errors import UsageError
from buildwright.model.node import Builder
from buildwright.model.platform import Platform
from buildwright.model.request import BuildRequest, Output, SecretSource
from buildwright.model.solve import BuildResult


def request_of(*argv: str, **environ: str) -> BuildRequest:
    return to_request(parse(COMMAND.flags, argv, environ), environ)


def test_each_flag_has_its_field() -> None:
    request = request_of(
        "-f", "Containerfile", "-t", "reg/a", "--tag=reg/b", "--target", "prod", "--build-arg", "A=1",
        "--build-arg=B", "--label", "l=x", "--platform", "linux/amd64,linux/arm64/v8", "--no-cache",
        "--pull", "--push", "-o", "out",
        "--secret", "id=s,src=file", "--provenance=false", ".", B="from the environment",
    )  # fmt: skip
    assert request == BuildRequest(
        context=".",
        dockerfile="Containerfile",
        tags=("reg/a", "reg/b"),
        target="prod",
        build_args={"A": "1", "B": "from the environment"},
        labels={"l": "x"},
        platforms=(Platform("linux", "amd64"), Platform("linux", "arm64")),
        no_cache=True,
        pull=True,
        push=True,
        outputs=(Output(type="local", dest="out"),),
        secrets=(SecretSource(id="s", file="file"),),
        attestations={"provenance": None},
    )


def test_the_epoch_of_the_environment_is_an_argument_unless_one_is_given() -> None:
    assert request_of(".", SOURCE_DATE_EPOCH="1").build_args == {"SOURCE_DATE_EPOCH": "1"}
    assert request_of(".", "--build-arg", "SOURCE_DATE_EPOCH=2", SOURCE_DATE_EPOCH="1").build_args == {
        "SOURCE_DATE_EPOCH": "2"
    }


def test_a_lost_build_is_begun_again_once_unless_told_otherwise() -> None:
    assert request_of(".").retries == 1
    assert request_of(".", "--retries", "0").retries == 0
    assert request_of(".", "--retries=3").retries == 3


def test_the_default_platform_comes_from_the_environment() -> None:
    assert request_of(".", DOCKER_DEFAULT_PLATFORM="linux/arm/v7").platforms == (Platform("linux", "arm", "v7"),)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--platform", "linux/amd64/v1/x"), "platform"),
        (("--iidfile", "id", "-o", "out"), "incompatible with image ID file"),
        (("--build-arg", "=x"), "empty key"),
        (("--secret", "nonsense"), "secret"),
        (("--push=perhaps",), "--push"),
        (("--retries", "-1"), "--retries"),
        (("--retries", "often"), "--retries"),
    ],
)
def test_a_wrong_value_is_named(argv: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        request_of(*argv, ".")


@pytest.mark.parametrize(("flags", "said"), [(("-q",), 1), (("--progress=none",), 1), (("--progress=plain",), 0)])
def test_losses_are_warned_of_where_no_progress_tells_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], said: int
) -> None:
    result = BuildResult(ref="r", builder="b", node="n", digest="sha256:d", losses=("pod b0-x was lost (Deleted)",))

    async def built(*_: object, **__: object) -> BuildResult:
        return result

    async def found(*_: object) -> Builder:
        return Builder(name="b", driver="kubernetes", nodes=())

    monkeypatch.setattr("buildwright.build.run.run", built)
    monkeypatch.setattr("buildwright.build.connection.find_builder", found)
    stderr = io.StringIO()
    context = Context(stdin=io.StringIO(), stdout=io.StringIO(), stderr=stderr, environ={"HOME": str(tmp_path)})
    assert main(("build", *flags, "."), context) == 0
    assert stderr.getvalue().splitlines().count("WARNING: pod b0-x was lost (Deleted)") == said
