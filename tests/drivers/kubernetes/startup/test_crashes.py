"""Containers that end again and again."""

from __future__ import annotations

import pytest

from buildwright.drivers.kubernetes.options import parse
from buildwright.drivers.kubernetes.startup.crashes import Crashes, Run
from buildwright.kube.objects import Container, Pod

USAGE = "   --version, -v   print the version"
LOCK = "buildkitd: could not lock /var/lib/buildkit/buildkitd.lock, another instance running?"
FLAG = "buildkitd: flag provided but not defined: -nonsense"


def crashed(
    number: int, code: int = 1, reason: str = "Error", message: str = "", name: str = "buildkitd"
) -> tuple[Pod, Container]:
    container = Container(
        name=name, init=name == "qemu", restarts=number, exit_code=code, ended=reason, message=message
    )
    return Pod(name="b", phase="Running", containers=(container,)), container


def after(crashes: Crashes, number: int, *lines: str, **how: str | int) -> str:
    pod, container = crashed(number, **how)  # type: ignore[arg-type]
    crashes.feed(pod)
    for run in crashes.unread():
        crashes.read(run, lines)
    return crashes.verdict(pod, container)


def test_two_ends_with_the_same_words_are_enough() -> None:
    crashes = Crashes(parse({}), readable=True)
    assert not after(crashes, 0, USAGE, LOCK)
    said = after(crashes, 1, USAGE, LOCK)
    assert f'ended 2 times, last with exit code 1 (Error), saying "{LOCK}"' in said
    assert "--buildkitd-flags" in said


@pytest.mark.parametrize(
    "words",
    [
        FLAG,
        'buildkitd: invalid boolean value "xyz" for -debug: parse error',
        'buildkitd: invalid value "xyz" for flag -n: parse error',
        "buildkitd: flag needs an argument: -addr",
        "buildkitd: toml: cannot decode TOML integer into struct field config.Config.Debug of type bool",
        'buildkitd: strconv.ParseInt: parsing "foo": invalid syntax',
        "buildkitd: addr foo://x not supported",
    ],
)
def test_a_wrong_flag_or_configuration_is_told_at_the_first_end(words: str) -> None:
    said = after(Crashes(parse({}), readable=True), 0, USAGE, words, "failed to parse config")
    assert f'has container buildkitd that ended with exit code 1 (Error), saying "{words}": check the' in said


@pytest.mark.parametrize(
    "words", [LOCK, "buildkitd: invalid", 'level=error msg="flag provided"', "flag provided but"]
)
def test_a_daemon_that_ended_once_may_come_up(words: str) -> None:
    crashes = Crashes(parse({}), readable=True)
    assert not after(crashes, 0, USAGE, words)
    container = Container(name="buildkitd", restarts=1, ready=True, last_exit_code=1, last_ended="Error")
    pod = Pod(name="b", phase="Running", containers=(container,))
    crashes.feed(pod)
    assert not crashes.verdict(pod, container)


def test_the_words_of_another_container_say_nothing_of_flags() -> None:
    assert not after(Crashes(parse({}), readable=True), 0, FLAG, name="proxy")


def twice() -> tuple[Pod, Container]:
    """As kubelet reports it when it has not told of the first end by itself."""
    container = Container(
        name="buildkitd",
        restarts=1,
        exit_code=1,
        ended="Error",
        last_exit_code=1,
        last_ended="Error",
    )
    return Pod(name="b", phase="Running", containers=(container,)), container


def test_two_ends_in_one_state_are_two() -> None:
    crashes = Crashes(parse({}), readable=True)
    pod, container = twice()
    crashes.feed(pod)
    first, second = sorted(crashes.unread())
    assert (first.number, crashes.past(first), second.number, crashes.past(second)) == (0, True, 1, False)
    shown = crashes.read(second, [LOCK])
    assert not crashes.verdict(pod, container)
    assert (shown, crashes.read(first, [LOCK])) == ([LOCK], [])
    assert "ended 2 times" in crashes.verdict(pod, container)


def test_a_log_that_was_empty_since_the_next_run_had_begun_is_read_again() -> None:
    crashes = Crashes(parse({}), readable=True)
    assert not after(crashes, 0)
    pod, container = twice()
    crashes.feed(pod)
    assert sorted(run.number for run in crashes.unread()) == [0, 1]
    for number in (0, 1):
        crashes.read(Run("b", "buildkitd", number), [LOCK])
    assert "ended 2 times" in crashes.verdict(pod, container)
    assert not crashes.unread()


def test_a_log_that_came_only_after_the_next_run_had_begun_is_asked_for_again() -> None:
    crashes = Crashes(parse({}), readable=True)
    pod, _ = crashed(0)
    crashes.feed(pod)
    (first,) = crashes.unread()
    pod, container = twice()
    crashes.feed(pod)
    assert crashes.read(first, ["starting"]) == [], "it may be what the second run says"
    assert sorted((run.number, crashes.past(run)) for run in crashes.unread()) == [(0, True), (1, False)]
    assert crashes.read(first, [LOCK]) == [LOCK]
    crashes.read(Run("b", "buildkitd", 1), [LOCK])
    assert f'saying "{LOCK}"' in crashes.verdict(pod, container)
    assert not crashes.unread()


def test_what_waits_to_be_restarted_has_no_log_of_a_run_before() -> None:
    crashes = Crashes(parse({}), readable=True)
    container = Container(name="buildkitd", waiting="CrashLoopBackOff", restarts=1, last_exit_code=1)
    crashes.feed(Pod(name="b", phase="Running", containers=(container,)))
    assert [(run.number, crashes.past(run)) for run in crashes.unread()] == [(1, False)]


def test_times_in_the_words_make_no_difference() -> None:
    crashes = Crashes(parse({}), readable=True)
    assert not after(crashes, 0, 'time="2026-01-01T00:00:01Z" level=fatal msg="no disk"')
    assert "no disk" in after(crashes, 1, 'time="2026-01-01T00:00:09Z" level=fatal msg="no disk"')


def test_other_words_get_a_third_try() -> None:
    crashes = Crashes(parse({}), readable=True)
    assert not after(crashes, 0, "one")
    assert not after(crashes, 1, "two")
    assert 'ended 3 times, last with exit code 1 (Error), saying "three"' in after(crashes, 2, "three")


def test_without_words_it_is_the_third_end() -> None:
    crashes = Crashes(parse({}), readable=True)
    assert [bool(after(crashes, number)) for number in range(3)] == [False, False, True]


def test_a_verdict_waits_for_the_words() -> None:
    crashes = Crashes(parse({}), readable=True)
    pod, container = crashed(5)
    crashes.feed(pod)
    assert not crashes.verdict(pod, container)
    assert crashes.unread() == [Run("b", "buildkitd", 5)]
    assert not crashes.unread()


def test_the_end_of_a_long_run_is_no_crash_loop() -> None:
    crashes = Crashes(parse({}))
    container = Container(
        name="buildkitd", waiting="CrashLoopBackOff", restarts=7, last_exit_code=1, last_seconds=3600
    )
    pod = Pod(name="b", phase="Running", containers=(container,))
    crashes.feed(pod)
    assert not crashes.verdict(pod, container)


def test_a_stack_trace_hides_no_cause() -> None:
    crashes = Crashes(parse({}), readable=True)
    lines = (
        "toml: cannot decode",
        "failed to parse config",
        "main.defaultConf",
        "\tgithub.com/x/main.go:498",
        "runtime.main",
    )
    assert not after(crashes, 0, *lines)
    assert 'saying "toml: cannot decode"' in after(crashes, 1, *lines)


def test_the_same_words_are_shown_once_and_a_few() -> None:
    crashes = Crashes(parse({}), readable=True)
    lines = [f"line {number}" for number in range(9)] + [FLAG, "and a trace"]
    shown = crashes.read(Run("b", "buildkitd", 0), lines)
    assert shown == ["line 5", "line 6", "line 7", "line 8", FLAG]
    assert crashes.read(Run("b", "buildkitd", 1), lines) == []


@pytest.mark.parametrize(
    ("options", "how", "words", "remedy"),
    [
        ({"limits.memory": "10Mi"}, {"code": 137, "reason": "OOMKilled"}, "", "limits.memory=10Mi"),
        ({}, {"code": 128, "reason": "StartError", "message": "no such file"}, "", "check the driver option image"),
        ({}, {"code": 0, "reason": "Completed"}, "", "check the driver option image"),
        ({}, {"code": 1, "name": "qemu"}, "no binfmt_misc", "check the driver option qemu.image"),
        ({}, {"code": 1}, "exec /usr/bin/buildkitd: exec format error", "nodeselector=kubernetes.io/arch="),
        ({"rootless": "true", "persistent-volume-claim.requests.storage": "1Gi"}, {"code": 1},
         "buildkitd: mkdir /home/user: permission denied", "user 1000"),
    ],
)  # fmt: skip
def test_the_remedy_follows_from_how_it_ended(
    options: dict[str, str], how: dict[str, str | int], words: str, remedy: str
) -> None:
    crashes = Crashes(parse(options), readable=True)
    assert not after(crashes, 0, words, **how)
    assert remedy in after(crashes, 1, words, **how)


def test_an_init_container_that_has_done_its_work_is_no_crash() -> None:
    crashes = Crashes(parse({}))
    pod, _ = crashed(0, code=0, name="qemu")
    crashes.feed(pod)
    assert not crashes.unread()
