"""Build secrets: checked when the service is made, read when a step asks, told to nobody else."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from buildwright.client.session.secret import Secrets
from buildwright.client.session.sources import LIMIT
from buildwright.errors import Code, ContextError, RpcError
from buildwright.model.request import SecretSource
from buildwright.wire.proto import session_pb2

GET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
Ask = Callable[..., list[bytes]]


def get(ask: Ask, service: Secrets, name: str = "token") -> bytes:
    (answer,) = ask(service, GET, session_pb2.GetSecretRequest(ID=name).SerializeToString())
    return session_pb2.GetSecretResponse.FromString(answer).data


def of_file(path: Path | str) -> SecretSource:
    return SecretSource(id="token", file=str(path))


def test_a_secret_comes_from_a_file(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"\0hidden\n")
    assert get(ask, Secrets([of_file(tmp_path / "s")])) == b"\0hidden\n"


def test_a_file_is_read_when_it_is_asked_for(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"old")
    service = Secrets([of_file(tmp_path / "s")])
    (tmp_path / "s").write_bytes(b"new")
    assert get(ask, service) == b"new"


def test_a_secret_comes_from_the_environment(ask: Ask) -> None:
    assert get(ask, Secrets([SecretSource(id="token", env="T")], environ={"T": "hidden"})) == b"hidden"


def test_an_empty_secret_is_a_secret(ask: Ask) -> None:
    assert get(ask, Secrets([SecretSource(id="token", env="T")], environ={"T": ""})) == b""


def test_an_unknown_secret_is_not_found(ask: Ask) -> None:
    service = Secrets([])
    with pytest.raises(RpcError, match="secret token: not found") as caught:
        get(ask, service)
    assert caught.value.code is Code.NOT_FOUND
    assert service.failure is None


def test_a_missing_file_is_told_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match=r'secret "token": cannot read .*gone: No such file'):
        Secrets([of_file(tmp_path / "gone")])


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="is a folder"):
        Secrets([of_file(tmp_path)])


def test_a_missing_variable_is_told_before_the_build() -> None:
    with pytest.raises(ContextError, match=r'secret "token": the environment variable NO_SUCH is not set'):
        Secrets([SecretSource(id="token", env="NO_SUCH")], environ={})


def test_a_file_that_is_too_big_is_told_before_the_build(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(bytes(LIMIT))
    Secrets([of_file(tmp_path / "s")])
    (tmp_path / "s").write_bytes(bytes(LIMIT + 1))
    with pytest.raises(ContextError, match=r'secret "token": .*s holds more than 500 KiB'):
        Secrets([of_file(tmp_path / "s")])


def test_a_variable_that_is_too_big_is_told_without_its_value() -> None:
    with pytest.raises(ContextError) as caught:
        Secrets([SecretSource(id="token", env="T")], environ={"T": "x" * (LIMIT + 1)})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("change", ["gone", "grown"])
def test_a_file_that_changed_for_the_worse_fails_the_build_with_our_error(
    ask: Ask, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"hidden")
    service = Secrets([of_file(path)])
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(LIMIT + 1))
    with pytest.raises(RpcError) as caught:
        get(ask, service)
    # NOT_FOUND would let a step go on that does not require its secret.
    assert caught.value.code is Code.UNKNOWN
    assert isinstance(service.failure, ContextError)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in the file system")
def test_a_pipe_is_read_once_and_serves_every_step(ask: Ask, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    service = Secrets([of_file(pipe)])
    writer = threading.Thread(target=pipe.write_bytes, args=(b"hidden",))
    writer.start()
    assert get(ask, service) == b"hidden"
    writer.join()
    assert get(ask, service) == b"hidden"


def test_values_do_not_show_in_a_repr(ask: Ask) -> None:
    service = Secrets([SecretSource(id="token", env="T")], environ={"T": "hidden"})
    get(ask, service)
    assert "hidden" not in repr(service)
