"""Names in full, as registries know them."""

from __future__ import annotations

import pytest

from buildwright.errors import UsageError
from buildwright.registry.reference import Reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "full", "host", "repository"),
    [
        ("busybox", "docker.io/library/busybox:latest", "registry-1.docker.io", "library/busybox"),
        ("user/app:1", "docker.io/user/app:1", "registry-1.docker.io", "user/app"),
        ("index.docker.io/app", "docker.io/library/app:latest", "registry-1.docker.io", "library/app"),
        ("localhost/app", "localhost/app:latest", "localhost", "app"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000", "a/b"),
        ("reg.io/a", "reg.io/a:latest", "reg.io", "a"),
        ("10.0.0.1:5000/a", "10.0.0.1:5000/a:latest", "10.0.0.1:5000", "a"),
        ("[::1]:5000/a:2", "[::1]:5000/a:2", "[::1]:5000", "a"),
        (f"reg.io/a@{DIGEST}", f"reg.io/a@{DIGEST}", "reg.io", "a"),
        (f"reg.io/a:1@{DIGEST}", f"reg.io/a:1@{DIGEST}", "reg.io", "a"),
    ],
)
def test_a_name_is_completed_as_docker_does(text: str, full: str, host: str, repository: str) -> None:
    reference = Reference.parse(text).tagged()
    assert (str(reference), reference.host, reference.repository) == (full, host, repository)


def test_what_is_no_reference_is_refused() -> None:
    with pytest.raises(UsageError, match="must be lowercase"):
        Reference.parse("reg.io/App")
