"""Credentials from helper programs and from the file, one lookup at a time and kept for a while."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from buildwright.errors import ConfigurationError
from buildwright.registry.config import HUB_KEY, Credential, DockerConfig
from buildwright.registry.credentials import LIFETIME, Credentials, ask_helper
from buildwright.registry.scope import scoped

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="helpers here are shell scripts")


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH for helper programs."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def install(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def ask(name: str, server: str = "reg.example") -> Credential:
    return asyncio.run(ask_helper(name, server))


def test_a_helper_is_told_the_server_on_stdin_and_nothing_else_in_its_arguments(helpers: Path) -> None:
    install(helpers, "echo", """printf '{"Username": "%s", "Secret": "%s"}' "$*" "$(cat)" """)
    assert ask("echo", "reg.example:5000") == Credential(username="get", password="reg.example:5000")


def test_the_user_that_stands_for_a_token_gives_an_identity_token(helpers: Path) -> None:
    install(helpers, "token", """echo '{"ServerURL": "x", "Username": "<token>", "Secret": "refresh"}'""")
    assert ask("token") == Credential(identity_token="refresh")


def test_a_helper_that_knows_nothing_gives_the_anonymous_credential(helpers: Path) -> None:
    install(helpers, "none", "echo credentials not found in native keychain; exit 1")
    assert not ask("none")


def test_a_helper_that_is_not_installed_counts_as_knowing_nothing() -> None:
    assert not ask("surely-not-installed")


@pytest.mark.parametrize("entry", ["", ".", "bin"])
def test_a_helper_in_the_current_folder_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    (tmp_path / entry).mkdir(exist_ok=True)
    install(tmp_path / entry, "planted", """echo '{"Username": "u", "Secret": "s"}'""")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{entry}{os.pathsep}{os.environ['PATH']}")
    assert not ask("planted")


def test_a_helper_that_fails_is_named_with_its_words(helpers: Path) -> None:
    install(helpers, "broken", "echo the keychain is locked; exit 1")
    with pytest.raises(ConfigurationError, match=r"docker-credential-broken .*reg\.example: the keychain is locked"):
        ask("broken")


@pytest.mark.parametrize("script", ["echo supersecret", "echo '[1]'", """echo '{"Secret": ["supersecret"]}'"""])
def test_an_answer_that_makes_no_sense_is_not_shown(helpers: Path, script: str) -> None:
    install(helpers, "odd", script)
    with pytest.raises(ConfigurationError) as caught:
        ask("odd")
    assert "supersecret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_helper_that_fails_after_its_answer_does_not_leak_it(helpers: Path) -> None:
    install(helpers, "late", """echo '{"Username": "u", "Secret": "supersecret"}'; exit 3""")
    with pytest.raises(ConfigurationError, match="exit code 3") as caught:
        ask("late")
    assert "supersecret" not in str(caught.value)


def test_a_cancelled_question_ends_the_helper(helpers: Path) -> None:
    fifo = helpers / "alive"
    os.mkfifo(fifo)
    install(helpers, "slow", f"exec 3>{fifo}; echo $$ >&3; exec tail -f /dev/null")

    async def run() -> None:
        asking = asyncio.ensure_future(ask_helper("slow", "x"))
        # Opening waits until the helper has opened its end; reading ends when the helper's death closes it.
        with await asyncio.to_thread(open, fifo, "rb") as held:
            await asyncio.to_thread(held.readline)
            asking.cancel()
            assert await asyncio.to_thread(held.read) == b""
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(run())


def counting(folder: Path) -> DockerConfig:
    install(folder, "count", f"""echo x >> {folder}/calls; echo '{{"Username": "u", "Secret": "s"}}'""")
    return DockerConfig(store="count")


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


def test_an_answer_is_kept_for_its_lifetime(helpers: Path) -> None:
    now = [100.0]

    async def run() -> None:
        credentials = Credentials(counting(helpers), clock=lambda: now[0])
        await asyncio.gather(credentials.get("h"), credentials.get("h"))
        assert calls(helpers) == 1
        now[0] += LIFETIME
        await credentials.get("h")
        assert calls(helpers) == 1
        now[0] += 1
        await credentials.get("h")
        assert calls(helpers) == 2
        await credentials.get("other")
        assert calls(helpers) == 3

    asyncio.run(run())


def get(config: DockerConfig, host: str = "h") -> Credential:
    return asyncio.run(Credentials(config).get(host))


def test_docker_hub_is_asked_for_under_its_old_address(helpers: Path) -> None:
    install(helpers, "echo", """printf '{"Username": "u", "Secret": "%s"}' "$(cat)" """)
    assert get(DockerConfig(store="echo"), "registry-1.docker.io").password == HUB_KEY


def test_the_environment_is_asked_before_the_helper() -> None:
    config = DockerConfig(store="surely-not-installed", overrides={"h": Credential(username="env")})
    assert get(config).username == "env"


def test_the_file_serves_what_the_helper_does_not_know() -> None:
    config = DockerConfig(store="surely-not-installed", credentials={"h": Credential(username="file")})
    assert get(config).username == "file"


def test_a_registry_token_in_the_file_goes_with_the_helpers_answer(helpers: Path) -> None:
    config = DockerConfig(store=counting(helpers).store, credentials={"h": Credential(registry_token="bearer")})
    assert get(config) == Credential(username="u", password="s", registry_token="bearer")


def test_a_scoped_configuration_serves_its_scope_alone() -> None:
    special = DockerConfig(path="special", credentials={"h": Credential(username="pusher")})
    general = DockerConfig(path="general", credentials={"h": Credential(username="puller")})

    async def run() -> tuple[str, str]:
        credentials = Credentials(general, scoped=[scoped("h/app@push", special)])
        pushing = await credentials.get("h", ["repository:app:pull,push"])
        return pushing.username, (await credentials.get("h", ["repository:app:pull"])).username

    assert asyncio.run(run()) == ("pusher", "puller")
