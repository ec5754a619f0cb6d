"""Descriptors and media types of images (opencontainers/image-spec descriptor.md, distribution's Docker types)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from buildwright.model.platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
DOCKER_PREFIX = "application/vnd.docker."

REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
"""Annotations by which an attestation manifest's descriptor says what it is and which image it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What names one piece of content. `platform` is as it was written, not in normal form; `data` is base64."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    platform: Platform | None = None
    artifact_type: str = ""

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Descriptor:
        return cls(media_type=media_type, digest=digest_of(content), size=len(content))

    @classmethod
    def from_json(cls, value: object) -> Descriptor:
        """Read a descriptor; ValueError saying which part of it is not as it must be."""
        fields = _object(value, "a descriptor")
        size = fields.get("size", 0)
        if not isinstance(size, int) or isinstance(size, bool):
            raise ValueError("the size of a descriptor is no number")
        platform = fields.get("platform")
        return cls(
            media_type=_text(fields, "mediaType"),
            digest=_digest(_text(fields, "digest")),
            size=size,
            urls=_texts(fields, "urls"),
            annotations=_mapping(fields, "annotations"),
            data=_text(fields, "data"),
            platform=None if platform is None else platform_from_json(platform),
            artifact_type=_text(fields, "artifactType"),
        )

    def to_json(self) -> dict[str, object]:
        """Its fields in the specification's order, annotations by key, empty ones left out."""
        shown: dict[str, object] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        optional = {
            "urls": list(self.urls),
            "annotations": dict(sorted(self.annotations.items())),
            "data": self.data,
            "platform": _platform_to_json(self.platform) if self.platform else None,
            "artifactType": self.artifact_type,
        }
        return shown | {name: value for name, value in optional.items() if value}

    def annotated(self, more: Mapping[str, str]) -> Descriptor:
        return replace(self, annotations={**self.annotations, **more})


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def platform_from_json(value: object) -> Platform:
    """Read a descriptor's platform, or that of an image's configuration; ValueError when it is no such thing."""
    fields = _object(value, "a platform")
    return Platform(
        os=_text(fields, "os"),
        architecture=_text(fields, "architecture"),
        variant=_text(fields, "variant"),
        os_version=_text(fields, "os.version"),
        os_features=_texts(fields, "os.features"),
    )


def _platform_to_json(platform: Platform) -> dict[str, object]:
    shown: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
    optional = {
        "os.version": platform.os_version,
        "os.features": list(platform.os_features),
        "variant": platform.variant,
    }
    return shown | {name: value for name, value in optional.items() if value}


def manifests_of(document: object) -> tuple[Descriptor, ...]:
    """The entries of an index; ValueError when it is none."""
    entries = _object(document, "an image index").get("manifests") or []
    if not isinstance(entries, list):
        raise ValueError("the manifests of an image index are no list")
    return tuple(Descriptor.from_json(entry) for entry in entries)


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    return value


def _text(fields: Mapping[str, object], key: str) -> str:
    value = fields.get(key) or ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value


def _texts(fields: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = fields.get(key) or []
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} is no list of texts")
    return tuple(value)


def _mapping(fields: Mapping[str, object], key: str) -> dict[str, str]:
    value = fields.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError(f"{key} is no object of texts")
    return value


def _digest(text: str) -> str:
    algorithm, _, hexadecimal = text.partition(":")
    if (
        not algorithm
        or len(hexadecimal) < 32
        or not all(character in "0123456789abcdef" for character in hexadecimal)
    ):
        raise ValueError(f'"{text}" is no digest')
    return text
