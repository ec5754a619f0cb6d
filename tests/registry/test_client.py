"""A repository is read and written with every login, over every transport, and refusals are one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from buildwright.errors import ConfigurationError, RegistryError
from buildwright.registry.access import Registry
from buildwright.registry.client import Repository
from buildwright.registry.config import Credential
from buildwright.registry.hosts import HostSettings, KeyPair
from buildwright.registry.index import Content
from buildwright.registry.manifest import OCI_INDEX, Descriptor
from tests.registry.server import PASSWORD, USER, Authority, State, make_authority, serving

T = TypeVar("T")

DATA = b'{"schemaVersion": 2}'
INDEX = Content(Descriptor.of(DATA, OCI_INDEX), DATA)


class Known:
    """Credentials for every host."""

    def __init__(self, credential: Credential) -> None:
        self.credential = credential

    async def get(self, host: str, scopes: Sequence[str] = ()) -> Credential:
        return self.credential


ROBOT = Credential(username=USER, password=PASSWORD)


def using(
    host: str,
    work: Callable[[Repository], Awaitable[T]],
    *,
    credential: Credential = ROBOT,
    settings: HostSettings | None = None,
    pauses: Sequence[float] = (),
) -> T:
    async def main() -> T:
        async with Registry(host, credentials=Known(credential), settings=settings, pauses=pauses) as registry:
            return await work(Repository(registry, "app", writable=True))

    return asyncio.run(main())


async def write_and_read(repository: Repository) -> Content:
    await repository.put_manifest("1", INDEX)
    assert await repository.digest("1") == INDEX.descriptor.digest
    assert await repository.digest("2") == ""
    return await repository.manifest(INDEX.descriptor.digest)


@pytest.mark.parametrize("login", ["", "basic", "bearer"])
def test_manifests_are_written_and_read_with_every_login(login: str) -> None:
    state = State(login=login)
    with serving(state) as host:
        assert using(host, write_and_read) == INDEX
    assert state.manifests["app/1"] == (OCI_INDEX, DATA)
    assert state.tokens == (1 if login == "bearer" else 0)


def test_a_token_that_has_expired_is_replaced() -> None:
    state = State(login="bearer")

    async def work(repository: Repository) -> None:
        await repository.put_manifest("1", INDEX)
        state.tokens += 1
        await repository.put_manifest("2", INDEX)

    with serving(state) as host:
        using(host, work)
    assert set(state.manifests) >= {"app/1", "app/2"}


@pytest.mark.parametrize("login", ["basic", "bearer"])
@pytest.mark.parametrize("credential", [Credential(), Credential(username=USER, password="wrong-and-secret")])
def test_a_refused_login_says_what_to_run_and_keeps_secrets(login: str, credential: Credential) -> None:
    with (
        serving(State(login=login)) as host,
        pytest.raises(RegistryError, match=f"run docker login {host}") as caught,
    ):
        using(host, lambda repository: repository.put_manifest("1", INDEX), credential=credential)
    assert "secret" not in f"{caught.value}{caught.value.__cause__}"
    assert caught.value.status == 401


def test_a_refusal_names_registry_repository_and_cause() -> None:
    state = State(refuse={("PUT", "/manifests/1"): (400, "tag is immutable")})
    with serving(state) as host, pytest.raises(RegistryError) as caught:
        using(host, lambda repository: repository.put_manifest("1", INDEX))
    assert str(caught.value) == f"cannot write 1 in {host}/app: the registry answered 400 (tag is immutable)"
    assert caught.value.status == 400


def test_what_is_not_there_is_said() -> None:
    with (
        serving(State()) as host,
        pytest.raises(RegistryError, match=rf"cannot read 1 in {host}/app: .*404 \(manifest unknown\)"),
    ):
        using(host, lambda repository: repository.manifest("1"))


def test_content_that_does_not_fit_its_digest_is_refused() -> None:
    state = State()
    state.manifests[f"app/{INDEX.descriptor.digest}"] = OCI_INDEX, b"other"
    state.blobs[INDEX.descriptor.digest] = b"other"
    with serving(state) as host:
        for read in (Repository.manifest, Repository.blob):
            with pytest.raises(RegistryError, match="other content"):
                using(host, lambda repository, read=read: read(repository, INDEX.descriptor.digest))


def test_a_registry_that_stumbles_is_asked_again() -> None:
    state = State(stumbles=2)
    with serving(state) as host:
        using(host, lambda repository: repository.put_manifest("1", INDEX), pauses=(0, 0))
        state.stumbles = 3
        with pytest.raises(RegistryError, match="answered 503"):
            using(host, lambda repository: repository.put_manifest("2", INDEX), pauses=(0, 0))
    assert "app/1" in state.manifests
    assert "app/2" not in state.manifests


def test_a_registry_that_cannot_be_reached_is_named() -> None:
    with serving(State()) as host:
        pass
    with pytest.raises(RegistryError, match=f"cannot reach the registry {host}"):
        using(host, lambda repository: repository.manifest("1"))


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


def test_an_authority_and_a_key_pair_of_the_builder_are_used(authority: Authority, tmp_path: Path) -> None:
    pair = KeyPair(authority.certificate, authority.key)
    settings = HostSettings(http=False, authorities=(authority.ca,), key_pairs=(pair,))
    with serving(State(login="bearer"), authority.server_context(tmp_path, ask_clients=True)) as host:
        assert using(host, write_and_read, settings=settings) == INDEX


def test_an_unknown_authority_is_refused_with_what_to_do(authority: Authority, tmp_path: Path) -> None:
    with (
        serving(State(), authority.server_context(tmp_path)) as host,
        pytest.raises(RegistryError, match=r"certificate is not trusted; name its authority as ca"),
    ):
        using(host, write_and_read, settings=HostSettings(http=False))


def test_an_insecure_registry_may_show_any_certificate(authority: Authority, tmp_path: Path) -> None:
    with serving(State(login="bearer"), authority.server_context(tmp_path)) as host:
        assert using(host, write_and_read, settings=HostSettings(http=True, insecure=True)) == INDEX


def test_an_insecure_registry_may_speak_plain_http() -> None:
    with serving(State()) as host:
        assert using(host, write_and_read, settings=HostSettings(http=True, insecure=True)) == INDEX


def test_plain_http_that_was_not_allowed_is_refused_with_what_to_do() -> None:
    with (
        serving(State()) as host,
        pytest.raises(RegistryError, match="does not speak TLS; if plain HTTP is meant, set http = true"),
    ):
        using(host, write_and_read, settings=HostSettings(http=False))


@pytest.mark.parametrize(
    "settings",
    [
        HostSettings(authorities=(b"no certificate",)),
        HostSettings(key_pairs=(KeyPair(b"no certificate", b"no key"),)),
    ],
)
def test_a_damaged_certificate_is_told_in_one_sentence(settings: HostSettings) -> None:
    with pytest.raises(ConfigurationError, match=r"in PEM form.*correct it in the builder's buildkitd\.toml"):
        using("127.0.0.1:1", write_and_read, settings=settings)
