"""The flags of build become one request, and its result becomes files and lines."""

from __future__ import annotations

import pytest

from buildwright.cli.build import COMMAND, to_request
from buildwright.cli.flags import parse
from buildwright.errors import UsageError
from buildwright.model.platform import Platform
from buildwright.model.request import BuildRequest, Output, SecretSource


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
