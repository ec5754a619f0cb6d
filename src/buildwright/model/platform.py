"""OCI platforms: parsing, normal form and matching as containerd's `platforms` package does them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from buildwright.errors import UsageError

_OS = {"macos": "darwin"}
_ARCHITECTURES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "amd64": ("amd64", None),
    "aarch64": ("arm64", None),
    "arm64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_KNOWN_OS = frozenset(
    "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 "
    "windows zos".split()
)


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform in OCI image terms. Make one with `parse`, which returns the normal form."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os[(version)]/arch[/variant]`, `os`, `arch` or `local`; raises UsageError on anything else."""
        text = text.strip()
        if text == "local":
            return cls.local()
        parts = text.split("/")
        if not 1 <= len(parts) <= 3 or not all(parts):
            raise UsageError(f'invalid platform "{text}": write it as os/arch or os/arch/variant, like linux/arm64')
        os, version = _split_version(parts[0], text)
        for part in (os, *parts[1:]):
            if not all(c.isalnum() or c in "_-." for c in part) or not part.isascii():
                raise UsageError(f'invalid platform "{text}": "{part}" has characters that no platform has')
        if len(parts) > 1:
            return cls(os, parts[1], parts[2] if len(parts) > 2 else "", version).normalized()
        if _OS.get(os.lower(), os.lower()) in _KNOWN_OS:
            return replace(cls.local(), os=os, os_version=version).normalized()
        bare = cls(cls.local().os, os).normalized()
        if bare.architecture not in _KNOWN_ARCHITECTURES:
            raise UsageError(f'unknown platform "{text}": it is neither an operating system nor an architecture')
        return bare

    @classmethod
    def local(cls) -> Platform:
        """The platform that images for this machine have: Linux containers everywhere but on Windows."""
        import platform as host

        os = "windows" if sys.platform == "win32" else "linux"
        return cls(os, host.machine().lower() or "amd64").normalized()

    def normalized(self) -> Platform:
        """Canonical names; `arm64/v8` and `amd64/v1` lose their variant, `arm` gets `v7`."""
        os = _OS.get(self.os.lower(), self.os.lower())
        architecture, variant = self.architecture.lower(), self.variant.lower()
        canonical, forced = _ARCHITECTURES.get(architecture, (architecture, None))
        architecture, variant = canonical, variant if forced is None else forced
        if architecture == "amd64" and variant == "v1":
            variant = ""
        elif architecture == "arm64" and variant in ("8", "v8"):
            variant = ""
        elif architecture == "arm":
            variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
        return replace(self, os=os, architecture=architecture, variant=variant)

    def __str__(self) -> str:
        """`os/arch[/variant]`, the identifier that BuildKit uses; the OS version is left out."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def full(self) -> str:
        """Like str(), with the OS version: `windows(10.0.17763)/amd64`."""
        version = f"({self.os_version})" if self.os_version else ""
        return "/".join(part for part in (self.os + version, self.architecture, self.variant) if part)


_KNOWN_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x wasm".split()
)


def _split_version(os: str, text: str) -> tuple[str, str]:
    if "(" not in os:
        return os, ""
    name, _, rest = os.partition("(")
    if not rest.endswith(")") or not name:
        raise UsageError(
            f'invalid platform "{text}": the OS version goes in brackets, like windows(10.0.17763)/amd64'
        )
    return name, rest[:-1]
