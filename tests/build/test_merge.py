"""What several nodes have pushed by digest is one image under every tag, or no tag has moved."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence

import pytest

from buildwright.build.merge import merge
from buildwright.build.spread import Push
from buildwright.errors import ProtocolError, RegistryError
from buildwright.model.annotation import Annotation, Kind
from buildwright.registry.config import Credential
from buildwright.registry.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, digest_of
from buildwright.registry.reference import Reference
from tests.registry.server import PASSWORD, USER, State, serving


class Robot:
    async def get(self, host: str, scopes: Sequence[str] = ()) -> Credential:
        return Credential(username=USER, password=PASSWORD)


def push(host: str, *names: str, **more: object) -> Push:
    title = ",".join(f"{host}/{name}" for name in names)
    return Push(title=title, names=tuple(map(Reference.parse, title.split(","))), **more)  # type: ignore[arg-type]


def share(state: State, platform: str) -> dict[str, str]:
    """Put a node's index of one image into the repository `app`; returns the exporter's response."""
    os, architecture = platform.split("/")
    image = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(platform.encode()), size=1).to_json()
    entry = {**image, "platform": {"architecture": architecture, "os": os}}
    return pushed(state, {"schemaVersion": 2, "manifests": [entry]}, OCI_INDEX)


def pushed(state: State, document: Mapping[str, object], media_type: str) -> dict[str, str]:
    data = json.dumps(document).encode()
    state.put("app", digest_of(data), data, media_type)
    descriptor = json.dumps(Descriptor.of(data, media_type).to_json()).encode()
    return {"containerimage.descriptor": base64.b64encode(descriptor).decode()}


def merged(
    responses: Sequence[Mapping[str, str]], what: Push, files: Mapping[str, bytes] | None = None
) -> Mapping[str, str]:
    return asyncio.run(merge(responses, what, credentials=Robot(), files=[files or {}]))


@pytest.fixture
def state() -> State:
    return State(login="bearer")


def test_every_tag_names_the_index_of_all_shares(state: State) -> None:
    responses = [share(state, "linux/amd64"), share(state, "linux/arm64")]
    with serving(state) as host:
        told = merged(responses, push(host, "app:1", "app:2", "other:1"))
    (media_type, data), *others = [state.manifests[name] for name in ("app/1", "app/2", "other/1")]
    assert all(other == (media_type, data) for other in others)
    entries = json.loads(data)["manifests"]
    assert [entry["platform"]["architecture"] for entry in entries] == ["amd64", "arm64"]
    descriptor = Descriptor.from_json(json.loads(base64.b64decode(told["containerimage.descriptor"])))
    assert descriptor == Descriptor.of(data, OCI_INDEX)
    assert told["containerimage.digest"] == descriptor.digest
    assert told["image.name"] == f"{host}/app:1,{host}/app:2,{host}/other:1"


def test_a_push_by_digest_alone_gets_no_tag(state: State) -> None:
    responses = [share(state, "linux/amd64"), share(state, "linux/arm64")]
    with serving(state) as host:
        told = merged(responses, push(host, "app", by_digest=True))
    assert state.writes == [f"/v2/app/manifests/{told['containerimage.digest']}"] * len(state.writes)


def test_annotations_of_the_index_are_in_it(state: State) -> None:
    responses = [share(state, "linux/amd64"), share(state, "linux/arm64")]
    annotations = (Annotation(key="k", value="v", kind=Kind.INDEX),)
    with serving(state) as host:
        merged(responses, push(host, "app:1", annotations=annotations))
    assert json.loads(state.manifests["app/1"][1])["annotations"] == {"k": "v"}


def test_a_share_that_is_one_manifest_gets_the_platform_of_its_configuration(state: State) -> None:
    config = b'{"architecture": "arm64", "os": "linux", "variant": "v8"}'
    state.blobs[digest_of(config)] = config
    manifest = {"schemaVersion": 2, "config": Descriptor.of(config, "application/json").to_json(), "layers": []}
    responses = [share(state, "linux/amd64"), pushed(state, manifest, OCI_MANIFEST)]
    with serving(state) as host:
        merged(responses, push(host, "app:1"))
    entries = json.loads(state.manifests["app/1"][1])["manifests"]
    assert [entry["platform"] for entry in entries][1] == {"architecture": "arm64", "os": "linux"}


def test_a_daemon_that_tells_only_a_digest_is_understood(state: State) -> None:
    old = json.loads(base64.b64decode(share(state, "linux/amd64")["containerimage.descriptor"]))["digest"]
    responses = [{"containerimage.digest": old}, share(state, "linux/arm64")]
    with serving(state) as host:
        merged(responses, push(host, "app:1"))
    assert len(json.loads(state.manifests["app/1"][1])["manifests"]) == 2


@pytest.mark.parametrize("response", [{}, {"containerimage.descriptor": "e30="}, {"containerimage.descriptor": "?"}])
def test_a_daemon_that_tells_nothing_is_a_broken_one(state: State, response: dict[str, str]) -> None:
    with serving(state) as host, pytest.raises(ProtocolError, match="which image it has pushed"):
        merged([response, share(state, "linux/amd64")], push(host, "app:1"))


def test_a_registry_that_refuses_is_one_sentence_and_no_tag_moves(state: State) -> None:
    responses = [share(state, "linux/amd64"), share(state, "linux/arm64")]
    state.refuse["PUT", "/manifests/1"] = 403, "tags are frozen"
    with serving(state) as host, pytest.raises(RegistryError) as caught:
        merged(responses, push(host, "app:1", "app:2"))
    assert str(caught.value) == (
        f"cannot write 1 in {host}/app: the registry answered 403 (tags are frozen); "
        f"run docker login {host} with an account that may do this"
    )
    assert not {"app/1", "app/2"} & state.manifests.keys()


def test_a_refused_second_tag_says_what_the_first_is(state: State) -> None:
    responses = [share(state, "linux/amd64"), share(state, "linux/arm64")]
    state.refuse["PUT", "/manifests/2"] = 403, "frozen"
    with serving(state) as host, pytest.raises(RegistryError, match=rf"\({host}/app:1 has the new image already\)"):
        merged(responses, push(host, "app:1", "app:2"))


def test_a_share_that_is_gone_moves_no_tag(state: State) -> None:
    responses = [share(state, "linux/amd64"), share(state, "linux/arm64")]
    del state.manifests[f"app/{json.loads(base64.b64decode(responses[1]['containerimage.descriptor']))['digest']}"]
    with serving(state) as host, pytest.raises(RegistryError, match=r"404 \(manifest unknown\)"):
        merged(responses, push(host, "app:1"))
    assert state.writes == []


def test_how_a_registry_is_reached_comes_from_the_builder_and_the_output(state: State) -> None:
    responses = [share(state, "linux/amd64"), share(state, "linux/arm64")]
    with serving(state) as host:
        files = {"buildkitd.toml": f'[registry."{host}"]\nhttp = false'.encode()}
        with pytest.raises(RegistryError, match="does not speak TLS"):
            merged(responses, push(host, "app:1"), files)
        merged(responses, push(host, "app:1", insecure=True), files)
    assert "app/1" in state.manifests
