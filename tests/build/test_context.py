"""The context argument and -f decide what the frontend is told and what the session serves."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from pathlib import Path
from typing import BinaryIO

import pytest

from buildwright.build.context import Inputs, is_archive, load_inputs
from buildwright.build.remote import has_git_query, is_git, is_remote
from buildwright.build.stdin import InputReader
from buildwright.errors import ContextError, UsageError
from buildwright.model.request import BuildRequest


def load(context: str, dockerfile: str | None = None, stdin: bytes = b"") -> tuple[Inputs, bytes]:
    """The inputs and the text of the Dockerfile while they are open (b"" when it is not local)."""

    async def run() -> tuple[Inputs, bytes]:
        reader = InputReader(lambda: io.BytesIO(stdin))
        async with load_inputs(BuildRequest(context=context, dockerfile=dockerfile), reader) as inputs:
            if "dockerfile" not in inputs.local_dirs:
                return inputs, b""
            path = Path(inputs.local_dirs["dockerfile"]) / inputs.frontend_attrs["filename"]
            return inputs, path.read_bytes()

    return asyncio.run(run())


def tar_of(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def test_a_folder_is_served_as_context_and_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"FROM scratch")
    inputs, text = load(str(tmp_path))
    assert inputs.local_dirs == {"context": str(tmp_path), "dockerfile": str(tmp_path)}
    assert inputs.frontend_attrs == {"filename": "Dockerfile"}
    assert inputs.shared_key == tmp_path.name
    assert text == b"FROM scratch"


def test_the_file_flag_is_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ctx").mkdir()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "prod").write_bytes(b"FROM a")
    monkeypatch.chdir(tmp_path)
    inputs, text = load("ctx", "docker/prod")
    assert inputs.local_dirs == {"context": "ctx", "dockerfile": "docker"}
    assert inputs.frontend_attrs["filename"] == "prod"
    assert text == b"FROM a"


def test_a_lower_case_dockerfile_stands_in(tmp_path: Path) -> None:
    (tmp_path / "dockerfile").write_bytes(b"FROM b")
    assert load(str(tmp_path))[0].frontend_attrs["filename"] == "dockerfile"


def test_a_dockerfile_from_stdin_goes_with_a_folder(tmp_path: Path) -> None:
    inputs, text = load(str(tmp_path), "-", b"FROM c")
    assert inputs.local_dirs["context"] == str(tmp_path)
    assert inputs.frontend_attrs["dockerfilekey"] == "dockerfile"
    assert text == b"FROM c"
    assert not os.path.exists(inputs.local_dirs["dockerfile"])


def test_stdin_alone_is_a_dockerfile_with_an_empty_context() -> None:
    inputs, text = load("-", stdin=b"FROM d")
    assert set(inputs.local_dirs) == {"context", "dockerfile"}
    assert text == b"FROM d"


def test_an_archive_on_stdin_is_uploaded_with_its_first_bytes() -> None:
    archive = tar_of(Dockerfile=b"FROM e")

    async def run() -> tuple[Inputs, bytes]:
        request, stdin = (
            BuildRequest(context="-", dockerfile="sub/Dockerfile"),
            InputReader(lambda: io.BytesIO(archive)),
        )
        async with load_inputs(request, stdin) as inputs:
            assert inputs.archive is not None
            return inputs, inputs.archive.reader().read(len(archive) + 1) or b""

    inputs, sent = asyncio.run(run())
    assert inputs.frontend_attrs["filename"] == "sub/Dockerfile"
    assert sent == archive


def test_a_git_address_is_left_to_the_daemon() -> None:
    inputs, _ = load("https://host/repo.git?ref=main", "build/Dockerfile")
    assert inputs.frontend_attrs == {
        "context": "https://host/repo.git?ref=main",
        "filename": "build/Dockerfile",
        "frontend.caps": "moby.buildkit.frontend.gitquerystring",
    }
    assert inputs.local_dirs == {}


@pytest.mark.parametrize(
    ("context", "dockerfile", "stdin", "error", "message"),
    [
        ("", None, b"", UsageError, "specify build context"),
        ("-", "-", b"", UsageError, "both build context and dockerfile"),
        ("-", "Dockerfile", b"FROM x", UsageError, "ambiguous"),
        ("-", None, b"", ContextError, "stdin is empty"),
        ("nowhere", None, b"", ContextError, '"nowhere" not found'),
        (".", "missing/Dockerfile", b"", ContextError, "missing/Dockerfile: no such file"),
    ],
)
def test_what_cannot_be_a_build_is_said_in_one_sentence(
    context: str, dockerfile: str | None, stdin: bytes, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        load(context, dockerfile, stdin)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [b"BZh91AY", b"\x1f\x8b\x08\0", b"\xfd7zXZ\0\0", tar_of(a=b"1")[:1024]])
def test_archives_are_known_by_their_first_bytes(head: bytes) -> None:
    assert is_archive(head)
    assert not is_archive(b"FROM scratch\n" + head)


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/moby/buildkit.git",
        "https://github.com/moby/buildkit.git#v1:sub",
        "git://host/repo",
        "ssh://git@host/repo",
        "git@github.com:moby/buildkit.git",
        "github.com/moby/buildkit",
    ],
)
def test_git_addresses(address: str) -> None:
    assert is_git(address)
    assert is_remote(address)


@pytest.mark.parametrize("path", [".", "./x.git", "../git@h:p", "C:/work", "a/b", "ftp://host/x.git", "folder:x"])
def test_local_paths_are_not_remote(path: str) -> None:
    assert not is_remote(path)


def test_only_git_addresses_have_git_queries() -> None:
    assert has_git_query("https://h/r.git?tag=v1#x")
    assert not has_git_query("https://h/r.git#x?y")
    assert not has_git_query("https://h/archive.tar?token=1")


def test_a_password_in_an_address_is_never_told() -> None:
    with pytest.raises(ContextError) as caught:
        load(".", "http://user:s3cret@127.0.0.1:9/Dockerfile")
    assert "127.0.0.1:9" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_input_that_is_slow_on_a_non_blocking_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    async def main(file: BinaryIO) -> bytes:
        reader = InputReader(lambda: file)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(reader.read_all())
            await asyncio.sleep(0)
            for part in (b"one ", b"two"):
                os.write(writing, part)
                await asyncio.sleep(0)
            os.close(writing)
        return task.result()

    with open(reading, "rb", buffering=0) as file:
        assert asyncio.run(main(file)) == b"one two"


def test_a_closed_stdin_is_an_error_of_builds_that_read_it() -> None:
    def closed() -> io.BytesIO:
        raise ValueError("closed")

    async def main() -> None:
        async with load_inputs(BuildRequest(context="-"), InputReader(closed)):
            pass

    with pytest.raises(ContextError, match="cannot read stdin"):
        asyncio.run(main())
