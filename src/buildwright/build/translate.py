"""From what was asked to what the daemon is sent: frontend attributes, exporters, entitlements; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from buildwright.build.context import Inputs
from buildwright.build.outputs import exporters
from buildwright.build.specs import is_true
from buildwright.errors import UsageError
from buildwright.model import boolean
from buildwright.model.request import BuildRequest, Output
from buildwright.model.solve import CacheEntry, SolveRequest

_DEFAULT_PROVENANCE = "mode=min,inline-only=true"
_FIRST_WITH_ATTESTATIONS = (0, 11)
_FIRST_WITH_SEVERAL_EXPORTERS = (0, 13)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What translation has to know of the daemon; `version` is "" when it would not say."""

    version: str

    def at_least(self, version: tuple[int, int]) -> bool:
        """Whether its version is `version` or later; a version that is no number counts as recent."""
        if not self.version:
            return False
        major, _, rest = self.version.removeprefix("v").partition(".")
        minor = rest.partition(".")[0]
        return not (major.isdigit() and minor.isdigit()) or (int(major), int(minor)) >= version


def translate(
    request: BuildRequest,
    *,
    ref: str,
    inputs: Inputs,
    outputs: tuple[Output, ...],
    daemon: Daemon,
    vcs: Mapping[str, str],
    environ: Mapping[str, str],
    part: bool = False,
) -> SolveRequest:
    """The solve that builds `request`, an image index even for one platform when it is only `part` of a build.

    Raises UsageError for what the daemon cannot do or nobody can mean.
    """
    if len(outputs) > 1 and not daemon.at_least(_FIRST_WITH_SEVERAL_EXPORTERS):
        raise UsageError(
            "multiple outputs currently unsupported by the current BuildKit daemon, "
            "please upgrade to version v0.13+ or use a single output"
        )
    frontend, attrs = _frontend(request)
    attrs |= inputs.frontend_attrs
    attrs |= {f"build-arg:{key}": value for key, value in request.build_args.items()}
    attrs |= {f"label:{key}": value for key, value in request.labels.items()}
    attrs |= _attestations(request, daemon, environ)
    attrs |= vcs
    if part:
        attrs["multi-platform"] = "true"
    if request.target:
        attrs["target"] = request.target
    if request.no_cache:
        attrs["no-cache"] = ""
    if request.pull:
        attrs["image-resolve-mode"] = "pull"
    if request.platforms:
        attrs["platform"] = ",".join(platform.full() for platform in request.platforms)
    inline_cache = is_true(request.build_args.get("BUILDKIT_INLINE_CACHE", ""))
    return SolveRequest(
        ref=ref,
        frontend=frontend,
        frontend_attrs=attrs,
        exporters=exporters(outputs),
        cache_exports=(CacheEntry(type="inline"),) if inline_cache else (),
    )


def _frontend(request: BuildRequest) -> tuple[str, dict[str, str]]:
    attrs: dict[str, str] = {}
    if is_true(request.build_args.get("BUILDKIT_MULTI_PLATFORM", "")):
        attrs["multi-platform"] = "true"
    syntax = request.build_args.get("BUILDKIT_SYNTAX")
    if syntax is None:
        return "dockerfile.v0", attrs
    if not syntax.strip():
        raise UsageError(
            "empty BUILDKIT_SYNTAX build-arg is invalid, "
            "use --build-arg BUILDKIT_SYNTAX without '=' for optional behavior"
        )
    attrs["source"] = syntax.split()[0]
    attrs["cmdline"] = syntax
    return "gateway.v0", attrs


def _attestations(request: BuildRequest, daemon: Daemon, environ: Mapping[str, str]) -> dict[str, str]:
    supported = daemon.at_least(_FIRST_WITH_ATTESTATIONS)
    wanted = {f"attest:{kind}": value for kind, value in request.attestations.items() if value is not None}
    if wanted and not supported:
        raise UsageError("Attestations are not supported by the current BuildKit daemon")
    if supported and "provenance" not in request.attestations and not _no_default_attestations(environ):
        wanted["attest:provenance"] = _DEFAULT_PROVENANCE
    return wanted


def _no_default_attestations(environ: Mapping[str, str]) -> bool:
    text = environ.get("BUILDX_NO_DEFAULT_ATTESTATIONS")
    if text is None:
        return False
    try:
        return boolean.parse(text)
    except ValueError as error:
        raise UsageError(f"invalid BUILDX_NO_DEFAULT_ATTESTATIONS: {error}") from None
