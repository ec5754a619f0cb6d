"""Docker configurations scoped to a registry, a repository or actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildwright.registry.config import DockerConfig
from buildwright.registry.scope import choose, load_scoped, parse_scopes, scoped

PULL = "repository:team/app:pull"
PUSH = "repository:team/app:pull,push"


def chosen(scope: str, *names: str, host: str = "reg.example") -> str | None:
    found = choose([scoped(name, DockerConfig(path=name)) for name in names], host, [scope])
    return found and found.path


def test_a_folder_named_like_the_host_serves_every_repository() -> None:
    assert chosen(PULL, "reg.example") == "reg.example"
    assert chosen(PULL, "reg.example", host="other.example") is None


def test_a_repository_beats_its_host() -> None:
    assert chosen(PULL, "reg.example", "reg.example/team/app") == "reg.example/team/app"
    assert chosen(PULL, "reg.example", "reg.example/team/other") == "reg.example"


def test_actions_serve_requests_that_have_them_all() -> None:
    names = ("reg.example/team/app", "reg.example/team/app@push", "reg.example@pull,push")
    assert chosen(PULL, *names) == "reg.example/team/app"
    assert chosen(PUSH, *names) == "reg.example/team/app@push"
    assert chosen("repository:x:pull,push", *names) == "reg.example@pull,push"


def test_a_request_for_two_repositories_uses_dockers_own() -> None:
    assert chosen("repository:a:pull repository:b:pull", "reg.example") is None


def test_a_request_without_scopes_uses_dockers_own() -> None:
    assert choose([scoped("reg.example", DockerConfig())], "reg.example", []) is None


@pytest.mark.parametrize(
    ("scopes", "parsed"),
    [
        (["repository:a:pull", "repository:a:push"], {"repository:a": {"pull", "push"}}),
        (["registry:catalog:*"], {"registry:catalog": {"*"}}),
        (["aws"], {"aws": set()}),
        (["repository:a:pull", ""], {}),
    ],
)
def test_scopes_are_parsed_as_distribution_writes_them(scopes: list[str], parsed: dict[str, set[str]]) -> None:
    assert parse_scopes(scopes) == parsed


def test_configurations_are_found_below_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "reg.example" / "team" / "app@push"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"auths": {"reg.example": {"registrytoken": "t"}}}')
    (found,) = load_scoped(str(tmp_path), {})
    assert (found.host, found.repository, found.actions) == ("reg.example", "team/app", {"push"})
    assert found.config.stored("reg.example").registry_token == "t"


def test_a_store_without_any_has_none(tmp_path: Path) -> None:
    assert load_scoped(str(tmp_path), {}) == ()
