"""Which builder a command means."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from buildwright.builders import docker_contexts
from buildwright.builders.open import driver_for
from buildwright.builders.record import GroupRecord, NodeRecord
from buildwright.builders.resolve import resolve, use
from buildwright.builders.store import Store
from buildwright.errors import BuilderNotFoundError, ConfigurationError, UsageError
from buildwright.model.node import Builder, Node

DEFAULT_KEY = "unix:///var/run/docker.sock"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A home with the builders `a` and `b` and the docker context `desktop`."""
    environ = {"HOME": str(tmp_path)}
    context(tmp_path, "desktop", "unix:///desktop.sock")

    async def fill() -> None:
        async with Store(environ).transaction() as transaction:
            for name in ("a", "b"):
                node = NodeRecord(name=f"{name}0", endpoint="unix:///x")
                transaction.save(GroupRecord(name=name, driver="remote", nodes=(node,)))

    asyncio.run(fill())
    return environ


def context(home: Path, name: str, host: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))


def found(environ: dict[str, str], name: str = "") -> Builder:
    return asyncio.run(resolve(name, environ=environ))


def choose(environ: dict[str, str], name: str, **how: bool) -> None:
    async def run() -> None:
        async with Store(environ).transaction() as transaction:
            use(transaction, docker_contexts.read(environ), name, **how)

    asyncio.run(run())


def test_a_name_goes_before_the_variable_and_both_before_the_current_one(environ: dict[str, str]) -> None:
    choose(environ, "a")
    assert found(environ).name == "a"
    assert found(environ | {"BUILDX_BUILDER": "b"}).name == "b"
    assert found(environ | {"BUILDX_BUILDER": "none"}, "B").name == "b"


def test_a_chosen_builder_goes_before_buildkit_host_and_that_before_docker(environ: dict[str, str]) -> None:
    assert found(environ).docker_context
    builder = found(environ | {"BUILDKIT_HOST": "tcp://h:1"})
    assert (builder.driver, builder.nodes[0].endpoint) == ("remote", "tcp://h:1")
    choose(environ, "a")
    assert found(environ | {"BUILDKIT_HOST": "tcp://h:1"}).name == "a"


def test_a_name_that_is_nothing_is_said_so(environ: dict[str, str]) -> None:
    with pytest.raises(BuilderNotFoundError, match='no builder "none" found: "buildwright ls"') as caught:
        found(environ, "none")
    assert caught.value.name == "none"
    with pytest.raises(BuilderNotFoundError):
        found(environ, "../a")


def test_a_docker_context_is_a_builder_that_cannot_build(environ: dict[str, str]) -> None:
    builder = found(environ, "desktop")
    assert builder == Builder(
        name="desktop", driver="", nodes=(Node(name="desktop", endpoint="desktop"),), docker_context=True
    )
    with pytest.raises(UsageError, match=r'"desktop" is a docker context.*create --driver'):
        driver_for(builder, builder.nodes[0])


def test_the_choice_is_remembered_for_the_active_docker_context(environ: dict[str, str]) -> None:
    choose(environ, "a", default=True)
    choose(environ | {"DOCKER_CONTEXT": "desktop"}, "b", default=True)
    assert found(environ | {"DOCKER_CONTEXT": "desktop"}).name == "b"
    assert found(environ).name == "a"
    assert found(environ | {"DOCKER_HOST": "tcp://other"}).name == "default"


def test_docker_is_chosen_again_by_the_name_of_its_context(environ: dict[str, str]) -> None:
    choose(environ, "a")
    choose(environ, "default")
    assert found(environ).name == "default"
    with pytest.raises(UsageError, match="docker context use desktop"):
        choose(environ, "desktop")
    with pytest.raises(BuilderNotFoundError, match='"none"'):
        choose(environ, "none")
    with pytest.raises(UsageError, match="no builder is named"):
        choose(environ, "")


def test_a_builder_notes_when_it_was_used(environ: dict[str, str], tmp_path: Path) -> None:
    activity = tmp_path / ".docker" / "buildx" / "activity" / "a"
    activity.write_text("2001-02-03T04:05:06Z")
    assert found(environ, "a").last_activity == "2001-02-03T04:05:06Z"
    asyncio.run(resolve("a", environ=environ, touch=True))
    assert activity.read_text() > "2001-02-03T04:05:06Z"


# --- docker's contexts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({}, DEFAULT_KEY),
        ({"DOCKER_HOST": "unix://"}, DEFAULT_KEY),
        ({"DOCKER_HOST": "tcp://1.2.3.4"}, "tcp://1.2.3.4:2375"),
        ({"DOCKER_HOST": "h:99"}, "tcp://h:99"),
        ({"DOCKER_HOST": "tcp://:99"}, "tcp://localhost:99"),
        ({"DOCKER_HOST": "tcp://[::1]"}, "tcp://[::1]:2375"),
        ({"DOCKER_HOST": "tcp://h/path"}, "tcp://h:2375/path"),
        ({"DOCKER_HOST": "ssh://u@h"}, "ssh://u@h"),
        ({"DOCKER_TLS_VERIFY": "1"}, "tcp://localhost:2376"),
    ],
)
def test_the_address_of_the_default_engine(variables: dict[str, str], host: str) -> None:
    assert docker_contexts.default_host(variables) == host


def test_the_active_context_is_the_variables_or_the_configurations(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    context(tmp_path, "desktop", "unix:///desktop.sock")
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "desktop"}')
    contexts = docker_contexts.read(home)
    assert (contexts.active, contexts.key) == ("desktop", "desktop")
    assert dict(contexts.hosts) == {"default": DEFAULT_KEY, "desktop": "unix:///desktop.sock"}
    assert docker_contexts.read(home | {"DOCKER_HOST": "tcp://h"}).key == "tcp://h:2375"
    assert docker_contexts.read(home | {"DOCKER_CONTEXT": "default"}).key == DEFAULT_KEY


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_docker_configuration_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"config\.json, is damaged .*: repair or remove it"):
        docker_contexts.read({"HOME": str(tmp_path)})


def test_damaged_contexts_are_left_out(tmp_path: Path) -> None:
    meta = tmp_path / ".docker" / "contexts" / "meta"
    for number, content in enumerate(("", "[]", '{"Name": "other"}')):
        (meta / str(number)).mkdir(parents=True)
        (meta / str(number) / "meta.json").write_text(content)
    assert list(docker_contexts.read({"HOME": str(tmp_path)}).hosts) == ["default"]
