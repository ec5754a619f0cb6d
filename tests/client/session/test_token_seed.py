"""Seeds in docker's configuration folder, shared with buildx and buildctl."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import stat
import sys
from pathlib import Path

import pytest

from buildwright.client.session.token_seed import TokenSeeds


def stored(folder: Path) -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = json.loads((folder / ".token_seed").read_text())
    return content


def test_a_seed_is_made_once_and_stored_as_go_writes_it(tmp_path: Path) -> None:
    seed = TokenSeeds(str(tmp_path / "docker")).get("reg.example")
    assert len(seed) == 16
    assert stored(tmp_path / "docker") == {"reg.example": {"Seed": base64.b64encode(seed).decode()}}
    assert TokenSeeds(str(tmp_path / "docker")).get("reg.example") == seed


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes")
def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    TokenSeeds(str(tmp_path)).get("h")
    assert stat.S_IMODE(os.stat(tmp_path / ".token_seed").st_mode) == 0o600


def test_a_seed_that_buildx_made_is_used(tmp_path: Path) -> None:
    (tmp_path / ".token_seed").write_text('{\n  "h": {\n    "Seed": "AAECAwQFBgcICQoLDA0ODw=="\n  }\n}')
    assert TokenSeeds(str(tmp_path)).get("h") == bytes(range(16))


def test_other_hosts_keep_theirs(tmp_path: Path) -> None:
    first = TokenSeeds(str(tmp_path)).get("a")
    second = TokenSeeds(str(tmp_path)).get("b")
    assert first != second
    assert TokenSeeds(str(tmp_path)).get("a") == first


@pytest.mark.parametrize("content", ["", "{", "[]", '{"h": 1}', '{"h": {"Seed": "!"}}', '{"h": {"Seed": 5}}'])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / ".token_seed").write_text(content)
    seed = TokenSeeds(str(tmp_path)).get("h")
    assert TokenSeeds(str(tmp_path)).get("h") == seed


def test_where_nothing_can_be_written_a_seed_lasts_for_the_session(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    seeds = TokenSeeds(str(tmp_path / "file" / "docker"))
    assert seeds.get("h") == seeds.get("h")


def _get(folder: str, host: str) -> bytes:
    return TokenSeeds(folder).get(host)


def test_processes_at_the_same_time_agree(tmp_path: Path) -> None:
    questions = [(str(tmp_path), host) for host in ("a", "b") for _ in range(8)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        seeds = pool.starmap(_get, questions)
    assert len(set(seeds[:8])) == 1
    assert len(set(seeds[8:])) == 1
    assert len(stored(tmp_path)) == 2
