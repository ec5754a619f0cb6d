"""A daemon's configuration as it is stored: TOML in buildx's form, with the certificates it names."""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.builders import daemon_config, daemon_flags, toml
from buildwright.errors import ConfigurationError, UsageError

scalars = (
    st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    | st.dates()
    | st.times(timezones=st.none())
    | st.datetimes(timezones=st.none() | st.just(UTC))
)
keys = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(keys, values, max_size=4))
def test_a_document_reads_back_as_it_was_written(document: dict[str, object]) -> None:
    assert tomllib.loads(toml.write(document)) == document


def test_odd_values_are_written_so_that_toml_has_them() -> None:
    text = toml.write(
        {
            "inf": -math.inf,
            "big": 1e22,
            "small": 1e-7,
            "day": date(2026, 1, 2),
            "at": time(3, 4),
            "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "mixed": [1, {"a": 1, "b": ["c"]}],
        }
    )
    assert text == (
        "at = 03:04:00\nbig = 10000000000000000000000.0\nday = 2026-01-02\ninf = -inf\n"
        "mixed = [1, {a = 1, b = ['c']}]\nsmall = 0.0000001\nwhen = 2026-01-02T03:04:05Z\n"
    )


def test_two_certificates_of_one_name_are_both_kept(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ca.pem").write_text(folder)
    listed = [str(tmp_path / folder / "ca.pem") for folder in ("a", "b", "a")]
    path = tmp_path / "daemon.toml"
    path.write_text(f'[registry."r:5000"]\nca = {listed}\n')
    config = daemon_config.load(str(path))
    assert config.files["certs/r_5000/ca.pem"] == b"a"
    assert config.files["certs/r_5000/ca-1.pem"] == b"b"
    document = tomllib.loads(config.files["buildkitd.toml"].decode())
    certs = "/etc/buildkit/certs/r_5000"
    assert document["registry"]["r:5000"]["ca"] == [f"{certs}/ca.pem", f"{certs}/ca-1.pem", f"{certs}/ca.pem"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("debug =", "no valid TOML"),
        ("\udcff", "no valid TOML"),
        ("insecure-entitlements = 'x'", "insecure-entitlements is no list of strings"),
        ("registry = 1", "registry is no table"),
        ("[registry]\nx = 1", "cannot be used: registry.x is no table"),
        ('debug = "x"', "cannot be used: debug is neither true nor false"),
        ("root = 1", "root is no string"),
        ("worker = []", "worker is no table"),
        ("[registry.x]\nca = [1]", "registry.x.ca is no list of strings"),
        ("[registry.x]\nkeypair = [1]", "keypair"),
        ("[registry.x]\nkeypair = {}", "keypair"),
        ("[registry.x]\nca = ['/none/ca.pem']", "/none/ca.pem"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "daemon.toml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=r".") as caught:
        daemon_config.load(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_too_large_is_named(tmp_path: Path) -> None:
    path = tmp_path / "daemon.toml"
    with pytest.raises(ConfigurationError, match=r"daemon\.toml: No such file"):
        daemon_config.load(str(path))
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        daemon_config.load(str(path))


HOST = "--allow-insecure-entitlement=network.host"


def test_pods_may_use_their_own_network_unless_the_user_decides() -> None:
    assert daemon_flags.resolve((), "kubernetes", ()) == (HOST,)
    assert daemon_flags.resolve(("--debug",), "kubernetes", ("security.insecure",)) == ("--debug", HOST)
    assert daemon_flags.resolve((), "kubernetes", ("network.host",)) is None
    assert daemon_flags.resolve(("--allow-insecure-entitlement", "device"), "kubernetes", ()) == (
        "--allow-insecure-entitlement",
        "device",
    )
    assert daemon_flags.resolve((), "remote", ()) is None


def test_flags_with_an_open_quote_are_refused() -> None:
    with pytest.raises(UsageError, match="--buildkitd-flags: the quote ' is never closed"):
        daemon_flags.parse("--a 'b")
