"""What lost its daemon begins again, what failed does not, and both are told."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Awaitable, Callable

import pytest

from buildwright.build import attempts
from buildwright.build.attempts import Attempt, persist
from buildwright.drivers.driver import Traits
from buildwright.errors import (
    BuildwrightError,
    ClusterError,
    ConnectError,
    ConnectionLostError,
    DaemonLostError,
    NotReadyError,
    RegistryError,
    RpcError,
    SolveError,
    UsageError,
)
from buildwright.errors import Code as Status
from buildwright.model.status import StatusUpdate, Vertex, VertexLog
from buildwright.progress.plain import Plain
from buildwright.progress.view import End
from buildwright.testing.drivers import MemoryDriver, Sink


class Fleet(MemoryDriver):
    @property
    def traits(self) -> Traits:
        return Traits(dynamic=True)


def lost(pod: str = "b0-x", reason: str = "Deleted", **facts: object) -> DaemonLostError:
    text = f"the builder's daemon was lost: pod {pod} on node1 is gone"
    return DaemonLostError(text, pod=pod, node="node1", reason=reason, **facts)  # type: ignore[arg-type]


class Work:
    """Fails once with each of `errors`, then returns how often it was begun."""

    def __init__(self, *errors: BuildwrightError, spend: str = "") -> None:
        self.attempts: list[Attempt] = []
        self._errors = list(errors)
        self._spend = spend

    async def __call__(self, attempt: Attempt) -> int:
        self.attempts.append(attempt)
        attempt.spent = self._spend
        if self._errors:
            raise self._errors.pop(0)
        return len(self.attempts)


def run(
    work: Callable[[Attempt], Awaitable[int]],
    *,
    retries: int = 1,
    driver: MemoryDriver | None = None,
    sink: Sink | None = None,
    told: list[str] | None = None,
) -> int:
    tell = (lambda _: None) if told is None else told.append
    return asyncio.run(persist(work, driver or Fleet(), retries=retries, sink=sink or Sink(), tell=tell))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PAUSE", 0.0)


@pytest.mark.parametrize("error", [lost(), ConnectionLostError("it ended"), ConnectError("refused")])
def test_a_loss_begins_again_and_is_said(error: BuildwrightError) -> None:
    work, sink, told = Work(error), Sink(), list[str]()
    assert run(work, sink=sink, told=told) == 2
    assert [attempt.number for attempt in work.attempts] == [0, 1]
    (sentence,) = told
    assert re.search(r"; (building again( on another pod)?|connecting again) \(retry 1 of 1\)$", sentence)
    assert sink.vertexes == [sentence]


def test_a_lost_pod_is_named_with_its_node_and_the_reason() -> None:
    told = list[str]()
    run(Work(lost()), told=told)
    assert told == ["pod b0-x on node node1 was lost (Deleted); building again on another pod (retry 1 of 1)"]


def test_a_pod_that_was_only_cut_off_is_not_called_lost() -> None:
    told = list[str]()
    run(Work(lost(reason="Disconnected")), told=told)
    assert told == ["the connection to pod b0-x on node node1 was lost; building again (retry 1 of 1)"]


@pytest.mark.parametrize("reason", ["Exited", "OOMKilled", "Silent"])
def test_another_pod_is_promised_only_when_the_pod_goes(reason: str) -> None:
    told = list[str]()
    run(Work(lost(reason=reason)), told=told)
    assert told == [f"pod b0-x on node node1 was lost ({reason}); building again (retry 1 of 1)"]


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_what_a_cluster_refuses_for_the_moment_begins_again(status: int) -> None:
    work, told = Work(ClusterError("the cluster refused: busy", status=status)), list[str]()
    assert run(work, told=told) == 2
    assert told == ["the cluster refused: busy; connecting again (retry 1 of 1)"]


@pytest.mark.parametrize(
    "error", [ClusterError("leader changed", status=500), NotReadyError("node b0 was stopped meanwhile")]
)
def test_what_ends_the_retry_of_a_loss_is_told_with_the_loss(error: BuildwrightError) -> None:
    with pytest.raises(DaemonLostError) as caught:
        run(Work(lost(), error))
    assert str(caught.value) == (
        f"pod b0-x on node node1 was lost (Deleted), and the build could not begin again: {error}"
    )


def test_the_last_words_of_a_daemon_are_shown_when_it_ended_by_itself() -> None:
    sink = Sink()
    run(Work(lost(log=("started",))), sink=sink)
    assert sink.lines == ["the builder's daemon was lost: pod b0-x on node1 is gone"]
    sink = Sink()
    run(Work(lost(reason="Exited", process_exit_code=2, log=("panic: no",))), sink=sink)
    assert sink.lines[1:] == ["panic: no"]


@pytest.mark.parametrize(
    "error",
    [
        SolveError("exit code: 1", process_exit_code=1),
        UsageError("no"),
        RegistryError("denied", status=401),
        RpcError(Status.UNAVAILABLE, "busy"),
        ClusterError("forbidden", status=403),
        NotReadyError("it does not start"),
    ],
)
def test_what_failed_is_raised_as_it_is(error: BuildwrightError) -> None:
    work, text = Work(error), str(error)
    with pytest.raises(type(error)) as caught:
        run(work, retries=5)
    assert caught.value is error
    assert str(error) == text
    assert len(work.attempts) == 1


def test_the_last_loss_names_the_one_before_it() -> None:
    work = Work(lost("a"), lost("b", "Evicted"), lost("c"))
    with pytest.raises(DaemonLostError) as caught:
        run(work)
    assert len(work.attempts) == 2
    assert (caught.value.pod, caught.value.reason, caught.value.exit_code) == ("b", "Evicted", 75)
    assert str(caught.value) == (
        "the builder's daemon was lost: pod b on node1 is gone; before that, pod a on node node1 was lost (Deleted)"
    )


def test_more_retries_are_counted() -> None:
    told = list[str]()
    assert run(Work(lost("a"), lost("b")), retries=2, told=told) == 3
    assert [sentence.rpartition("(")[2] for sentence in told] == ["retry 1 of 2)", "retry 2 of 2)"]


def test_the_same_refusal_twice_is_told_once() -> None:
    with pytest.raises(ConnectError) as caught:
        run(Work(ConnectError("no route"), ConnectError("no route")))
    assert str(caught.value) == "no route"


def test_without_retries_the_loss_is_raised_as_it_is() -> None:
    with pytest.raises(DaemonLostError, match=r"node1 is gone$"):
        run(Work(lost()), retries=0)


def test_a_driver_with_one_daemon_has_no_other() -> None:
    work = Work(lost())
    with pytest.raises(DaemonLostError, match=r"node1 is gone$"):
        run(work, driver=MemoryDriver())
    assert len(work.attempts) == 1


def test_what_cannot_be_taken_back_is_not_begun_again() -> None:
    work = Work(lost(), spend="the horse has bolted")
    with pytest.raises(DaemonLostError, match=r"\(it did not begin again by itself, since the horse has bolted\)$"):
        run(work)
    assert len(work.attempts) == 1


@pytest.mark.parametrize(
    "error", [NotReadyError("node b0 was not ready after 2 minutes"), ClusterError("403"), ConnectError("refused")]
)
def test_without_another_pod_the_loss_remains(error: BuildwrightError) -> None:
    with pytest.raises(DaemonLostError) as caught:
        run(Work(lost(), error))
    assert str(caught.value) == (
        f"pod b0-x on node node1 was lost (Deleted), and the build could not begin again: {error}"
    )
    assert caught.value.exit_code == 75


def test_a_failure_after_a_loss_is_the_build_s_own() -> None:
    error = SolveError("exit code: 1")
    with pytest.raises(SolveError, match=r"^exit code: 1$"):
        run(Work(lost(), error))


def test_a_cancelled_wait_is_cancelled() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def forever(attempt: Attempt) -> int:
            if not attempt.number:
                raise lost()
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        task = asyncio.create_task(persist(forever, Fleet(), retries=1, sink=Sink()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


RUN = Vertex(digest="sha256:1", name="[2/2] RUN make", started=10)


def test_steps_of_a_lost_daemon_end_as_cancelled() -> None:
    sink = Sink()

    async def work(attempt: Attempt) -> int:
        if attempt.number:
            return 1
        done = Vertex(digest="sha256:0", name="[1/2] FROM", started=1, completed=5)
        attempt.sink.write(StatusUpdate(vertexes=(done, RUN)))
        raise lost()

    run(work, sink=sink)
    (ended,) = sink.updates[1].vertexes
    assert (ended.digest, ended.error) == ("sha256:1", "context canceled")
    assert ended.completed is not None


def test_a_step_that_runs_again_is_shown_again() -> None:
    plain, text = Plain(), list[bytes]()

    class Shown(Sink):
        def write(self, update: StatusUpdate, /) -> None:
            super().write(update)
            plain.apply(update, len(self.updates) * 1_000_000_000)
            text.append(plain.draw(len(self.updates) * 1_000_000_000))

    shown = Shown()

    async def work(attempt: Attempt) -> int:
        last = max((v.completed or 0 for update in shown.updates for v in update.vertexes), default=0)
        vertex = dataclasses.replace(RUN, started=last + 1_000_000_000)
        attempt.sink.write(StatusUpdate(vertexes=(vertex,)))
        line = f"from attempt {attempt.number}\n".encode()
        attempt.sink.write(StatusUpdate(logs=(VertexLog(vertex=RUN.digest, timestamp=0, stream=1, data=line),)))
        if not attempt.number:
            raise lost()
        attempt.sink.write(StatusUpdate(vertexes=(dataclasses.replace(vertex, completed=last + 2_000_000_000),)))
        return 1

    run(work, sink=shown)
    text.append(plain.finish(10**12, End()))
    lines = b"".join(text).decode().splitlines()
    assert lines.count("#1 [2/2] RUN make") == 2
    assert lines.index("#1 CANCELED") < next(at for at, line in enumerate(lines) if "building again" in line)
    assert [line.rpartition(" ")[2] for line in lines if "from attempt" in line] == ["0", "1"]
    assert lines[-1].startswith("#1 DONE")
