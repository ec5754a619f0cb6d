"""What one build's session serves: the context, results, secrets and credentials of this side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from buildwright.build.context import Inputs
from buildwright.build.outputs import Receiver, opened
from buildwright.client.session.auth import Auth
from buildwright.client.session.filesync import FileSync, LocalDir
from buildwright.client.session.secret import Secrets
from buildwright.client.session.service import Service
from buildwright.client.session.session import Session
from buildwright.client.session.token_seed import TokenSeeds
from buildwright.client.session.upload import Uploads
from buildwright.model.docker import config_dir
from buildwright.model.request import SecretSource
from buildwright.model.status import StatusSink
from buildwright.registry.credentials import Credentials


def open_session(
    inputs: Inputs,
    *,
    uploads: Uploads,
    targets: Iterable[Receiver],
    secrets: Iterable[SecretSource],
    stdout: Callable[[], BinaryIO],
    on_stream: Callable[[], None],
    sink: StatusSink,
    credentials: Credentials,
    environ: Mapping[str, str],
    node_id: str,
    session_id: str | None = None,
) -> Session:
    """Make the services and the session that offers them; it runs when a client solves with it.

    `on_stream` is called when a result begins to go where it cannot be taken back from, such as stdout.
    Raises ContextError for a secret whose source is missing.
    """
    services: list[Service] = [
        FileSync({name: LocalDir(path) for name, path in inputs.local_dirs.items()}),
        Auth(credentials, TokenSeeds(config_dir(environ)), sink=sink, environ=environ),
        Secrets(secrets, environ=environ),
        uploads,
    ]
    if received := tuple(targets):
        services.append(_receiving(received, stdout, on_stream))
    shared_key = f"{inputs.shared_key}:{node_id}" if inputs.shared_key else ""
    return Session(services, shared_key=shared_key, id=session_id)


def _receiving(
    receivers: Iterable[Receiver], stdout: Callable[[], BinaryIO], on_stream: Callable[[], None]
) -> Service:
    from buildwright.client.session.filesend import DirectoryTarget, FileSend, FileTarget, StreamTarget, Target

    def target(receiver: Receiver) -> Target:
        if receiver.folder:
            return DirectoryTarget(receiver.dest, delete=receiver.delete)
        return StreamTarget(opened(stdout)) if receiver.dest == "-" else FileTarget(receiver.dest)

    return FileSend({receiver.index: target(receiver) for receiver in receivers}, on_stream=on_stream)
