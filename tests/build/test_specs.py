"""Outputs, secrets, attestations and pairs are read as buildx reads them."""

from __future__ import annotations

import pytest

from buildwright.build.specs import parse_attestations, parse_output, parse_pairs, parse_secret
from buildwright.errors import UsageError
from buildwright.model.request import Output, SecretSource


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("out", Output(type="local", dest="out")),
        ("dest=out", Output(type="local", dest="dest=out")),
        ("-", Output(type="tar", dest="-")),
        ("type=oci,dest=a.tar", Output(type="oci", dest="a.tar")),
        ("type=image,Name=reg/a,push=true", Output(type="image", attrs={"name": "reg/a", "push": "true"})),
        ('type=image,"name=a,b"', Output(type="image", attrs={"name": "a,b"})),
    ],
)
def test_an_output_is_a_folder_stdout_or_csv(text: str, output: Output) -> None:
    assert parse_output(text) == output


@pytest.mark.parametrize("text", ["dest=a,push=true", "type=image,push", 'type=image,na"me', "type=,dest=x"])
def test_a_malformed_output_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="output"):
        parse_output(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("id=a,src=file", SecretSource(id="a", file="file")),
        ("id=a,source=file", SecretSource(id="a", file="file")),
        ("id=a,env=VAR", SecretSource(id="a", env="VAR")),
        ("type=env,id=a,src=VAR", SecretSource(id="a", env="VAR")),
        ("id=SET", SecretSource(id="SET", env="SET")),
        ("id=unset", SecretSource(id="unset", file="unset")),
    ],
)
def test_a_secret_comes_from_a_file_or_a_variable(text: str, secret: SecretSource) -> None:
    assert parse_secret(text, {"SET": "1"}) == secret


@pytest.mark.parametrize("text", ["src=file", "id=a,type=vault", "id=a,mode=0400", "a", ""])
def test_a_malformed_secret_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid secret"):
        parse_secret(text, {})


def test_the_first_attestation_of_a_type_wins_and_shorthands_come_last() -> None:
    assert parse_attestations(["type=provenance,mode=max"], provenance="false") == {
        "provenance": "type=provenance,mode=max"
    }
    assert parse_attestations([], provenance="false", sbom="true") == {"provenance": None, "sbom": "type=sbom"}
    assert parse_attestations([], provenance="mode=min") == {"provenance": "type=provenance,mode=min"}


def test_a_lone_key_takes_its_value_from_the_environment_or_is_left_out() -> None:
    assert parse_pairs(["A=1=2", "B", "C"], environ={"B": "b"}) == {"A": "1=2", "B": "b"}
    assert parse_pairs(["A"]) == {"A": ""}
    with pytest.raises(UsageError, match="empty key"):
        parse_pairs(["=x"])
