"""Images and indexes become one index, to the byte what buildx's imagetools makes of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.errors import RegistryError, UsageError
from buildwright.model.annotation import Annotation, Kind
from buildwright.model.platform import Platform
from buildwright.registry.index import Content, combine
from buildwright.registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    REFERENCE_DIGEST,
    REFERENCE_TYPE,
    Descriptor,
    digest_of,
    manifests_of,
)


def image(name: str, platform: str = "", media_type: str = OCI_MANIFEST, **annotations: str) -> Descriptor:
    return Descriptor(
        media_type=media_type,
        digest=digest_of(name.encode()),
        size=len(name),
        platform=Platform(*platform.split("/")) if platform else None,
        annotations=annotations,
    )


def attestation(subject: Descriptor) -> Descriptor:
    about = {REFERENCE_TYPE: "attestation-manifest", REFERENCE_DIGEST: subject.digest}
    return image("about" + subject.digest, "unknown/unknown").annotated(about)


def index(*entries: Descriptor, media_type: str = OCI_INDEX) -> Content:
    data = json.dumps({"schemaVersion": 2, "manifests": [entry.to_json() for entry in entries]}).encode()
    return Content(Descriptor.of(data, media_type), data)


AMD64, ARM64 = image("amd64", "linux/amd64"), image("arm64", "linux/arm64/v8")


def test_the_bytes_are_those_of_go() -> None:
    content = combine([index(AMD64.annotated({"b": "<&>", "a": "ä"})), index(ARM64)])
    expected = """\
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "@AMD64",
      "size": 5,
      "annotations": {
        "a": "ä",
        "b": "\\u003c\\u0026\\u003e"
      },
      "platform": {
        "architecture": "amd64",
        "os": "linux"
      }
    },
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "@ARM64",
      "size": 5,
      "platform": {
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8"
      }
    }
  ]
}"""
    expected = expected.replace("@AMD64", AMD64.digest).replace("@ARM64", ARM64.digest)
    assert content.data.decode() == expected
    assert content.descriptor == Descriptor.of(content.data, OCI_INDEX)


def test_attestations_stay_behind_their_subjects() -> None:
    content = combine([index(AMD64, attestation(AMD64)), index(ARM64, attestation(ARM64))])
    assert manifests_of(json.loads(content.data)) == (AMD64, attestation(AMD64), ARM64, attestation(ARM64))


def test_equal_digests_are_one_entry_with_the_later_platform_and_all_annotations() -> None:
    bare = image("amd64", a="1", b="1")
    content = combine([index(bare, ARM64), index(AMD64.annotated({"b": "2"}))])
    assert manifests_of(json.loads(content.data)) == (AMD64.annotated({"a": "1", "b": "2"}), ARM64)


def test_only_docker_types_make_a_docker_list() -> None:
    docker = image("docker", "linux/amd64", DOCKER_MANIFEST)
    assert combine([index(docker), index(docker, media_type=DOCKER_LIST)]).descriptor.media_type == DOCKER_LIST
    assert combine([index(docker), index(ARM64)]).descriptor.media_type == OCI_INDEX


def test_a_manifest_is_an_entry_itself() -> None:
    content = combine([Content(AMD64, b"amd64"), index(ARM64)])
    assert manifests_of(json.loads(content.data)) == (AMD64, ARM64)


def test_a_single_index_without_annotations_keeps_its_bytes() -> None:
    one = index(AMD64)
    assert combine([one]) is one
    annotated = combine([one], [Annotation(key="k", value="v", kind=Kind.INDEX)])
    assert json.loads(annotated.data)["annotations"] == {"k": "v"}


def test_annotations_go_to_the_index_and_to_descriptors_of_their_platform() -> None:
    annotations = [
        Annotation(key="i", value="1", kind=Kind.INDEX),
        Annotation(key="all", value="2", kind=Kind.MANIFEST_DESCRIPTOR),
        Annotation(key="one", value="3", kind=Kind.MANIFEST_DESCRIPTOR, platform=Platform("linux", "amd64")),
    ]
    document = json.loads(combine([index(AMD64), index(ARM64)], annotations).data)
    assert document["annotations"] == {"i": "1"}
    assert [entry["annotations"] for entry in document["manifests"]] == [{"all": "2", "one": "3"}, {"all": "2"}]


def test_annotations_that_a_docker_list_cannot_have_are_refused() -> None:
    docker = image("docker", "linux/amd64", DOCKER_MANIFEST)
    with pytest.raises(UsageError, match="annotations need OCI media types"):
        combine([index(docker)], [Annotation(key="k", value="v", kind=Kind.INDEX)])


@pytest.mark.parametrize(
    "source",
    [
        Content(image("x", media_type="application/vnd.docker.distribution.manifest.v1+json"), b"{}"),
        Content(image("x", media_type=OCI_INDEX), b"[]"),
        Content(image("x", media_type=OCI_INDEX), b"no json"),
        Content(image("x", media_type=OCI_INDEX), b'{"manifests": [{"digest": "x"}]}'),
    ],
)
def test_what_is_no_image_is_refused(source: Content) -> None:
    with pytest.raises(RegistryError, match=r"is no image but|is damaged"):
        combine([source, index(AMD64)])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
DESCRIPTORS = st.builds(
    Descriptor,
    media_type=st.sampled_from([OCI_MANIFEST, DOCKER_MANIFEST]),
    digest=st.binary().map(digest_of),
    size=st.integers(0),
    urls=st.lists(TEXTS).map(tuple),
    annotations=st.dictionaries(TEXTS, TEXTS),
    platform=st.none() | st.builds(Platform, TEXTS, TEXTS, TEXTS, TEXTS, st.lists(TEXTS).map(tuple)),
    artifact_type=TEXTS,
)


@given(DESCRIPTORS)
def test_a_descriptor_is_read_as_it_was_written(descriptor: Descriptor) -> None:
    assert Descriptor.from_json(json.loads(json.dumps(descriptor.to_json()))) == descriptor


@given(st.lists(st.lists(DESCRIPTORS, max_size=3), min_size=2, max_size=3))
def test_nothing_is_lost_or_doubled(shares: list[list[Descriptor]]) -> None:
    entries = manifests_of(json.loads(combine([index(*share) for share in shares]).data))
    digests = [entry.digest for entry in entries]
    assert digests == list(dict.fromkeys(entry.digest for share in shares for entry in share))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    )
)
def test_any_document_is_read_or_refused(document: object) -> None:
    for read in (Descriptor.from_json, manifests_of):
        try:
            read(document)
        except ValueError:
            pass
