"""What a daemon's words say of the way to a registry."""

from __future__ import annotations

import asyncio

import pytest

from buildwright.build.reach import judge, reach, target
from buildwright.drivers.driver import Traits
from buildwright.errors import ConnectError, UsageError
from buildwright.model.finding import Level
from buildwright.model.node import Builder, Node
from buildwright.model.status import StatusSink
from buildwright.wire.stream import ByteStream

PREFIX = "r.example.com/x: failed to resolve source metadata for r.example.com/x:latest: "
REQUEST = PREFIX + 'failed to do request: Head "https://r.example.com/v2/x/manifests/latest": '


@pytest.mark.parametrize(
    ("registry", "reference"),
    [
        ("r.example.com", "r.example.com/buildwright-doctor:absent"),
        ("localhost:5000", "localhost:5000/buildwright-doctor:absent"),
        ("r.example.com/team/app:1", "r.example.com/team/app:1"),
        ("docker.io", "docker.io/library/busybox:latest"),
    ],
)
def test_a_registry_is_asked_for_a_name(registry: str, reference: str) -> None:
    assert target(registry) == reference


@pytest.mark.parametrize("registry", ["", "r.example.com/", "/x", "a b.example.com", "https://r.example.com", "host"])
def test_what_is_no_registry_is_refused(registry: str) -> None:
    with pytest.raises(UsageError):
        target(registry)


@pytest.mark.parametrize(
    "said",
    [
        PREFIX + "r.example.com/x:latest: not found",
        PREFIX + "pull access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed",
        PREFIX
        + "unexpected status from HEAD request to https://r.example.com/v2/x/manifests/latest: 401 Unauthorized",
        PREFIX + "unexpected status from HEAD request to https://r.example.com/v2/x/manifests/latest: 403 Forbidden",
    ],
)
def test_a_refusal_is_proof_of_the_way(said: str) -> None:
    assert judge("r.example.com", said, Level.FAILED).level is Level.OK
    asked = judge("r.example.com/x", said, Level.FAILED)
    assert asked.level is Level.WARNING
    assert "refuses the image" in asked.text


@pytest.mark.parametrize(
    ("said", "why", "advice"),
    [
        ("dial tcp 10.0.0.1:443: connect: connection refused", "connection refused", "nothing listens there"),
        ("dial tcp: lookup r.example.com on 10.96.0.10:53: no such host", "no such host", "DNS"),
        ("dial tcp: lookup r.example.com on 127.0.0.1:53: read: connection refused", "lookup", "DNS"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "x509", "authority"),
        ("http: server gave HTTP response to HTTPS client", "HTTP response to HTTPS", "http = true"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "i/o timeout", "NetworkPolicies"),
    ],
)
def test_a_blocked_way_comes_with_its_cause_and_what_to_do(said: str, why: str, advice: str) -> None:
    for level in (Level.FAILED, Level.WARNING):
        found = judge("r.example.com", REQUEST + said, level)
        assert found.level is level
        assert why in found.text
        assert advice in found.advice


def test_a_registry_that_fails_is_no_working_one() -> None:
    said = PREFIX + "unexpected status from HEAD request to https://r.example.com/v2/: 503 Service Unavailable"
    found = judge("r.example.com", said, Level.FAILED)
    assert found.level is Level.FAILED
    assert "503" in found.text


def test_a_rate_limit_is_a_warning() -> None:
    said = PREFIX + "unexpected status from GET request to https://r.example.com/v2/: 429 Too Many Requests"
    assert judge("docker.io", said, Level.FAILED).level is Level.WARNING


class Watched:
    """A driver that loads by default, whose daemon is asked and does not answer."""

    traits = Traits(default_load=True, dynamic=True)

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def start(self, sink: StatusSink, /) -> None:
        self.calls.append("start")

    async def open(self, affinity: str = "", /, *, start: StatusSink | None = None) -> ByteStream:
        self.calls.append(f"open({affinity})" + (" after a start" if start is not None else ""))
        raise ConnectError("nobody listens")


def test_a_daemon_is_asked_once_without_being_started_or_held(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Watched()
    monkeypatch.setattr("buildwright.build.run.driver_for", lambda builder, node: driver)
    builder = Builder(name="b", driver="kubernetes", nodes=(node := Node(name="b0", endpoint=""),))
    found = asyncio.run(reach(builder, node, "r.example.com", {}, asked=True))
    assert driver.calls == ["open()"]
    assert found.level is Level.UNKNOWN
    assert "nobody listens" in found.text
