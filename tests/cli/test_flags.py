"""Command lines mean what pflag makes of them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.cli.flags import Flag, Kind, Value, Values, parse
from buildwright.errors import UsageError

FLAGS = (
    Flag(name="quiet", short="q", kind=Kind.BOOL, help=""),
    Flag(name="push", short="p", kind=Kind.BOOL, help=""),
    Flag(name="tag", short="t", kind=Kind.ARRAY, help=""),
    Flag(name="add-host", kind=Kind.SLICE, help=""),
    Flag(name="file", short="f", alias="dockerfile", env="FILE", help=""),
    Flag(name="timeout", kind=Kind.DURATION, default=20_000_000_000, help=""),
    Flag(name="number", short="n", kind=Kind.INT, default=7, help=""),
    Flag(name="shm-size", kind=Kind.SIZE, help=""),
    Flag(name="secret-flag", hidden=True, help=""),
    Flag(name="debug", kind=Kind.BOOL, env="DEBUG", help=""),
)


def read(*argv: str, **environ: str) -> Values:
    return parse(FLAGS, argv, environ)


@pytest.mark.parametrize(
    ("argv", "tags", "args"),
    [
        (["-t", "a", "."], ("a",), (".",)),
        (["-ta"], ("a",), ()),
        (["-t=a"], ("a",), ()),
        (["--tag", "a", "--tag=b", "x", "-t", "c", "y"], ("a", "b", "c"), ("x", "y")),
        (["-qpt", "a"], ("a",), ()),
        (["-qta=b"], ("a=b",), ()),
        (["--tag", "--push"], ("--push",), ()),
        (["--tag="], ("",), ()),
        (["-", "--", "-t", "--x"], (), ("-", "-t", "--x")),
        (["--tag", "--", "x"], ("--",), ("x",)),
        (["-t", "a,b"], ("a,b",), ()),
    ],
)
def test_values_and_arguments_are_told_apart(argv: list[str], tags: tuple[str, ...], args: tuple[str, ...]) -> None:
    values = read(*argv)
    assert (values.strings("tag"), values.args) == (tags, args)


def test_a_bool_takes_a_value_only_after_an_equals_sign() -> None:
    assert read("--push", "false").boolean("push")
    assert read("--push", "false").args == ("false",)
    assert not read("--push=false").boolean("push")
    assert not read("--push", "-p=0").boolean("push")
    assert read("-qp=T").boolean("push")


def test_every_kind_has_its_value() -> None:
    values = read("--add-host", 'a:1,"b,c"', "--add-host=d", "--timeout=1m", "-n-0x10", "--shm-size", "2g")
    assert values.strings("add-host") == ("a:1", "b,c", "d")
    assert values.seconds("timeout") == 60
    assert values.number("number") == -16
    assert values.number("shm-size") == 2 << 30


def test_what_is_not_given_has_its_default() -> None:
    values = read()
    assert (values.seconds("timeout"), values.number("number"), values.number("shm-size")) == (20, 7, 0)
    assert (values.string("file"), values.strings("tag"), values.boolean("push")) == ("", (), False)
    assert not values.given("timeout")
    assert (values.arg(), values.args) == ("", ())


def test_a_variable_is_the_default_when_it_is_not_empty() -> None:
    assert read(FILE="x").string("file") == "x"
    assert read("-f", "y", FILE="x").string("file") == "y"
    assert read("--dockerfile", "z").string("file") == "z"
    assert read(FILE="").string("file") == ""
    assert not read(FILE="x").given("file")
    assert read(DEBUG="no matter what").boolean("debug")
    assert not read("--debug=false", DEBUG="1").boolean("debug")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--psuh"], "unknown flag --psuh, did you mean --push?"),
        (["--zzz"], "unknown flag --zzz"),
        (["--secret-flg"], "unknown flag --secret-flg"),
        (["-x"], "unknown flag -x"),
        (["-qx"], "unknown flag -x in -qx"),
        (["-push"], "unknown flag -u in -push, did you mean --push?"),
        (["--tag"], "flag --tag needs a value"),
        (["-t"], "flag -t needs a value"),
        (["--push=maybe"], 'flag --push: invalid value "maybe": write true or false'),
        (["-n", "x"], 'flag -n: invalid number "x"'),
        (["--add-host", 'a"b'], "flag --add-host: column 2: "),
    ],
)
def test_what_is_wrong_is_named(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*argv)
    assert str(caught.value).startswith(message)


def test_a_wrong_variable_is_named() -> None:
    flag = Flag(name="timeout", kind=Kind.DURATION, env="TIMEOUT", help="")
    with pytest.raises(UsageError, match=r"^the variable TIMEOUT: invalid duration"):
        parse([flag], [], {"TIMEOUT": "soon"}).seconds("timeout")


def test_asking_for_a_flag_that_is_not_there_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        read().string("nothing")
    with pytest.raises(TypeError):
        read("--push").string("push")


def test_the_first_argument_can_end_the_flags() -> None:
    values = parse(FLAGS, ["-q", "build", "-x", "--"], {}, mixed=False)
    assert (values.boolean("quiet"), values.args) == (True, ("build", "-x", "--"))


@given(st.lists(st.sampled_from(["-q", "-t", "--tag", "--", "-", "x", "--push=1", "-f=", "--zz", "-qt"]) | st.text()))
def test_any_command_line_is_read_or_refused(argv: list[str]) -> None:
    with suppress(UsageError):
        read(*argv)


@given(st.dictionaries(st.sampled_from(["tag", "file"]), st.text(), max_size=2), st.lists(st.text()))
def test_what_is_written_is_read(given_values: dict[str, str], args: list[str]) -> None:
    argv = [word for name, text in given_values.items() for word in (f"--{name}", text)]
    values = read(*argv, "--", *args)
    expected: dict[str, Value] = {"tag": (given_values.get("tag"),) if "tag" in given_values else ()}
    assert values.strings("tag") == expected["tag"]
    assert values.string("file") == given_values.get("file", "")
    assert values.args == tuple(args)
