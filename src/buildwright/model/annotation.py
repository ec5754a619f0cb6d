"""Annotations of images and the places that they go to, as users and BuildKit's exporters write them.

Users write `[TYPE[PLATFORM],...:]KEY=VALUE` (buildx util/buildflags/export.go), exporters
`annotation[-TYPE][PLATFORM].KEY` (BuildKit exporter/containerimage/exptypes/annotations.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from buildwright.errors import UsageError
from buildwright.model.platform import Platform

_PLACE = re.compile(r"([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?")
_ATTRIBUTE = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)")


class Kind(StrEnum):
    """What an annotation is part of."""

    MANIFEST = "manifest"
    MANIFEST_DESCRIPTOR = "manifest-descriptor"
    INDEX = "index"
    INDEX_DESCRIPTOR = "index-descriptor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """Without a `platform` it is for all of them; `kind` None is an image's manifest, by default."""

    key: str
    value: str
    kind: Kind | None = None
    platform: Platform | None = None

    @property
    def attribute(self) -> str:
        """The exporter attribute that carries it. What is about an index has no platform there."""
        kind = f"-{self.kind}" if self.kind else ""
        on_image = self.kind in (Kind.MANIFEST, Kind.MANIFEST_DESCRIPTOR)
        return f"annotation{kind}{f'[{self.platform}]' if self.platform and on_image else ''}.{self.key}"


def parse(places: str, value: str) -> tuple[Annotation, ...]:
    """The annotations that `[TYPE[PLATFORM],...:]KEY` with `value` means; UsageError for a place there is not."""
    before, colon, key = places.partition(":")
    if not colon:
        return (Annotation(key=places, value=value),)
    found = []
    for place in before.split(","):
        match = _PLACE.fullmatch(place)
        if match is None:
            raise UsageError(
                f'invalid annotation type "{place}", expected type and optional platform in square brackets'
            )
        found.append(Annotation(key=key, value=value, kind=_kind(match[1]), platform=_platform(match[2])))
    return tuple(found)


def from_attribute(name: str, value: str) -> Annotation | None:
    """The annotation that an exporter attribute is, None for any other attribute; UsageError for a wrong place."""
    match = _ATTRIBUTE.fullmatch(name)
    if match is None:
        return None
    kind = _kind(match[1]) if match[1] else None
    return Annotation(key=match[3], value=value, kind=kind, platform=_platform(match[2]))


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise UsageError(f'unknown annotation type "{text}": choose one of {", ".join(Kind)}') from None


def _platform(text: str | None) -> Platform | None:
    return Platform.parse(text) if text else None
