"""Image references in the form that registries understand: host, repository, tag (distribution/reference)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from buildwright.model.reference import check_reference

HUB = "docker.io"
_HUB_API = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in full: `docker.io/library/busybox` and not `busybox`. `tag` and `digest` are "" when not given."""

    domain: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference and complete its name; UsageError when it is none."""
        name, _, digest = check_reference(text).partition("@")
        head, _, last = name.rpartition("/")
        last, _, tag = last.partition(":")
        domain, repository = _split_domain(f"{head}/{last}" if head else last)
        return cls(domain, repository, tag, digest)

    @property
    def name(self) -> str:
        return f"{self.domain}/{self.repository}"

    @property
    def host(self) -> str:
        """Where the registry of this name is reached."""
        return _HUB_API if self.domain == HUB else self.domain

    def tagged(self) -> Reference:
        """The same with the tag that an untagged name means."""
        return self if self.tag or self.digest else replace(self, tag="latest")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.name + tag + (f"@{self.digest}" if self.digest else "")


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        first, rest = HUB, name
    if first == "index.docker.io":
        first = HUB
    return first, f"library/{rest}" if first == HUB and "/" not in rest else rest
