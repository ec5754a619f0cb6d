"""The shares of an image that several nodes have pushed by digest become one image under every tag."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from buildwright.build.spread import Push
from buildwright.build.together import gather
from buildwright.errors import ProtocolError, RegistryError
from buildwright.model.platform import Platform
from buildwright.registry.access import CredentialSource, Registry
from buildwright.registry.client import Repository
from buildwright.registry.hosts import INSECURE, HostSettings, settings_for
from buildwright.registry.index import Content, combine
from buildwright.registry.manifest import MANIFEST_TYPES, Descriptor, platform_from_json
from buildwright.registry.reference import Reference

_DESCRIPTOR = "containerimage.descriptor"
_DIGEST = "containerimage.digest"
_NAME = "image.name"


async def merge(
    responses: Sequence[Mapping[str, str]],
    push: Push,
    *,
    credentials: CredentialSource,
    files: Iterable[Mapping[str, bytes]],
) -> Mapping[str, str]:
    """Push the index of all that the nodes' exporter `responses` name; returns the response of the whole.

    `files` are the nodes' files under /etc/buildkit, which may say how registries are reached. Raises RegistryError
    and ConfigurationError; tags that were moved before a later one was refused are named, others are as they were.
    """
    files = tuple(files)
    async with AsyncExitStack() as stack:
        registries: dict[str, Registry] = {}
        repositories: dict[str, Repository] = {}
        for name in push.names:
            if name.host not in registries:
                settings = _settings(name, push, files)
                registry = Registry(name.host, credentials=credentials, settings=settings)
                registries[name.host] = await stack.enter_async_context(registry)
            repositories.setdefault(name.name, Repository(registries[name.host], name.repository, writable=True))
        source = repositories[push.names[0].name]
        # The first finds out where the registry is and who we are to it, for the others as well.
        shares = [await _share(responses[0], source)]
        shares += await gather(_share(response, source) for response in responses[1:])
        index = combine(shares, push.annotations)
        await _publish(index, push, repositories)
    return {
        _DIGEST: index.descriptor.digest,
        _DESCRIPTOR: base64.b64encode(json.dumps(index.descriptor.to_json()).encode()).decode(),
        _NAME: ",".join(map(str, push.names)),
    }


def _settings(name: Reference, push: Push, files: Iterable[Mapping[str, bytes]]) -> HostSettings:
    found = settings_for(name.domain, files)
    if not push.insecure:
        return found
    return replace(found, http=INSECURE.http, insecure=INSECURE.insecure)


async def _share(response: Mapping[str, str], repository: Repository) -> Content:
    """A node's share, fetched by its digest; a single manifest gets its platform, which an index must say."""
    told = _descriptor(response)
    content = await repository.manifest(told.digest)
    descriptor = replace(told, media_type=told.media_type or content.descriptor.media_type, size=len(content.data))
    if descriptor.media_type in MANIFEST_TYPES and descriptor.platform is None:
        descriptor = replace(descriptor, platform=await _platform(content, repository))
    return Content(descriptor, content.data)


def _descriptor(response: Mapping[str, str]) -> Descriptor:
    try:
        if text := response.get(_DESCRIPTOR):
            return Descriptor.from_json(json.loads(base64.b64decode(text)))
        return Descriptor(media_type="", digest=response[_DIGEST], size=0)
    except (ValueError, KeyError) as error:
        raise ProtocolError(
            f"a daemon did not say in a form that is understood which image it has pushed ({error})"
        ) from error


async def _platform(content: Content, repository: Repository) -> Platform:
    digest = content.descriptor.digest
    try:
        config = Descriptor.from_json(json.loads(content.data).get("config"))
        return platform_from_json(json.loads(await repository.blob(config.digest))).normalized()
    except (ValueError, AttributeError) as error:
        raise RegistryError(f"the image manifest {digest} is damaged: {error}") from error


async def _publish(index: Content, push: Push, repositories: Mapping[str, Repository]) -> None:
    done: list[str] = []
    for name in push.names:
        try:
            await repositories[name.name].put_manifest(name.tag or index.descriptor.digest, index)
        except RegistryError as error:
            already = f" ({', '.join(done)} has the new image already)" if done else ""
            raise RegistryError(f"{error}{already}", status=error.status) from error
        done.append(str(name))
