"""One image index from several images and indexes; pure, and to the byte what buildx makes of the same ones.

The rules are those of docker/buildx util/imagetools/create.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from buildwright.errors import RegistryError, UsageError
from buildwright.model.annotation import Annotation, Kind
from buildwright.model.gojson import indented
from buildwright.registry.manifest import (
    DOCKER_LIST,
    DOCKER_PREFIX,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    Descriptor,
    manifests_of,
)


@dataclass(frozen=True, slots=True)
class Content:
    """A manifest or an index: what names it, and its bytes."""

    descriptor: Descriptor
    data: bytes = field(repr=False)


def combine(sources: Sequence[Content], annotations: Iterable[Annotation] = ()) -> Content:
    """The index of all that `sources` hold: entries of indexes, and manifests, which need a platform.

    Equal digests are one entry, at the place of the first, with the platform and annotations of the last; so an
    attestation stays behind the image that it is about. A single index without annotations is kept as it is. Only
    index and manifest-descriptor annotations have a place here. Raises RegistryError for a source that is no image,
    UsageError for annotations that the result cannot have.
    """
    annotations = tuple(annotations)
    if len(sources) == 1 and not annotations and sources[0].descriptor.media_type in INDEX_TYPES:
        return sources[0]
    entries: dict[str, Descriptor] = {}
    for source in sources:
        for entry in _entries(source):
            known = entries.get(entry.digest)
            entries[entry.digest] = _merged(known, entry) if known else entry
    docker = all(entry.media_type.startswith(DOCKER_PREFIX) for entry in entries.values())
    if docker and annotations:
        raise UsageError(
            "annotations need OCI media types, and all of these images have Docker's: "
            "build them with the output attribute oci-mediatypes=true, or leave the annotations out"
        )
    manifests = [_annotated(entry, annotations) for entry in entries.values()]
    return _index(DOCKER_LIST if docker else OCI_INDEX, manifests, _of_index(annotations))


def _entries(source: Content) -> tuple[Descriptor, ...]:
    descriptor = source.descriptor
    if descriptor.media_type in MANIFEST_TYPES:
        return (descriptor,)
    if descriptor.media_type not in INDEX_TYPES:
        raise RegistryError(f"{descriptor.digest} is no image but {descriptor.media_type or 'of no media type'}")
    try:
        return manifests_of(json.loads(source.data))
    except ValueError as error:
        raise RegistryError(f"the image index {descriptor.digest} is damaged: {error}") from error


def _merged(old: Descriptor, new: Descriptor) -> Descriptor:
    return replace(
        old.annotated(new.annotations),
        media_type=old.media_type or new.media_type,
        platform=new.platform or old.platform,
    )


def _annotated(entry: Descriptor, annotations: Iterable[Annotation]) -> Descriptor:
    mine = {
        annotation.key: annotation.value
        for annotation in annotations
        if annotation.kind is Kind.MANIFEST_DESCRIPTOR
        and (annotation.platform is None or str(annotation.platform) == str(entry.platform))
    }
    return entry.annotated(mine) if mine else entry


def _of_index(annotations: Iterable[Annotation]) -> dict[str, str]:
    return {annotation.key: annotation.value for annotation in annotations if annotation.kind is Kind.INDEX}


def _index(media_type: str, manifests: Iterable[Descriptor], annotations: Mapping[str, str]) -> Content:
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [manifest.to_json() for manifest in manifests],
    }
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    data = indented(document).encode()
    return Content(Descriptor.of(data, media_type), data)
