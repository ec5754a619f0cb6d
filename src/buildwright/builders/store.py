"""The builder store, shared with buildx (store/store.go): one folder of small files under one lock.

    .lock  current  defaults/<hash of key>  instances/<name>  activity/<name>  refs/...  .buildNodeID

Every file is replaced in one step, so neither a crash nor a full disk leaves half of one. A file that cannot be
read is left alone and concerns its own builder only. Nothing here talks to a network, so that the lock is
held for moments.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from buildwright.builders import location, lock, names, record, refs
from buildwright.builders.files import Folder
from buildwright.builders.record import GroupRecord
from buildwright.errors import StoreError

FOLDERS = ("instances", "defaults", "activity")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file of a builder that cannot be read."""

    name: str
    error: StoreError


class Store:
    """The store of one user. `on_wait` is called with a sentence when another process holds the lock for long."""

    def __init__(self, environ: Mapping[str, str], on_wait: Callable[[str], None] = lambda _: None) -> None:
        self.root = os.path.abspath(location.store_dir(environ))
        self._folder = Folder(self.root, location.sudo_owner(environ, self.root))
        self._on_wait = on_wait

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Hold the lock and make the folders that are missing; StoreError when that cannot be done.

        Where the user may not write, the store can still be read, without the lock.
        """
        waiting = f"waiting for another process that uses the builder store {self.root}"
        async with AsyncExitStack() as stack:
            try:
                for name in FOLDERS:
                    self._folder.make(name)
                path = os.path.join(self.root, ".lock")
                await stack.enter_async_context(lock.held(path, lambda: self._on_wait(waiting)))
            except StoreError as error:
                if getattr(error.__cause__, "errno", 0) not in (errno.EROFS, errno.EACCES, errno.EPERM):
                    raise
            yield Transaction(self._folder)

    def default_daemon_config(self) -> str:
        """The daemon configuration that new nodes get when the user names none, "" when there is no such file."""
        path = os.path.join(self.root, "buildkitd.default.toml")
        return path if os.path.exists(path) else ""

    def node_id(self) -> str:
        """This machine's lasting identity towards daemons: 16 hexadecimal digits, made on first use.

        It lasts as long as this call where the store cannot be written: a build needs no store.
        """
        made = secrets.token_hex(8)
        try:
            known = self._folder.read(".buildNodeID")
            if known is not None:
                return known.decode("ascii", "replace")
            self._folder.make(FOLDERS[0])
            self._folder.write(".buildNodeID", made.encode())
        except StoreError:
            pass
        return made


class Transaction:
    """The store while it is locked."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def get(self, name: str) -> GroupRecord | None:
        """The builder of that name in any case, None when there is none; StoreError when its file is damaged."""
        if not names.is_valid(name):
            return None
        path = f"instances/{name.lower()}"
        data = self._folder.read(path)
        if data is None:
            return None
        try:
            return record.decode(data)
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"the builder file {self._folder.path(path)} is damaged ({error}): repair it, "
                f'or remove the builder with "buildwright rm --keep-daemon {name}" and create it again'
            ) from None

    def list(self) -> tuple[tuple[GroupRecord, ...], tuple[Damaged, ...]]:
        """All builders by name, and the files that are none. Names that no builder can have are passed over."""
        found: list[GroupRecord] = []
        damaged: list[Damaged] = []
        for name in self._folder.names("instances"):
            if not names.is_valid(name) or name != name.lower():
                continue
            try:
                group = self.get(name)
            except StoreError as error:
                damaged.append(Damaged(name, error))
            else:
                if group is not None:
                    found.append(group)
        return tuple(sorted(found, key=lambda group: group.name)), tuple(damaged)

    def exists(self, name: str) -> bool:
        """Whether there is a file for that builder, readable or not."""
        return names.is_valid(name) and self._folder.read(f"instances/{name.lower()}") is not None

    def save(self, group: GroupRecord) -> None:
        """Write a builder; UsageError when its name breaks the rule."""
        path = f"instances/{names.check(group.name)}"
        self.touch(group.name)
        self._folder.write(path, record.encode(group))

    def remove(self, name: str) -> None:
        """Delete a builder's files; one that is not there is no error."""
        lower = names.check(name)
        typed = {lower, name}
        try:
            group = self.get(name)
            typed |= {group.name} if group and names.is_valid(group.name) else set()
        except StoreError:
            pass  # a damaged file is removed like any other
        for spelling in sorted(typed):
            self._folder.remove(f"activity/{spelling}")
            refs.remove_builder(self._folder, spelling)
        self._folder.remove(f"instances/{lower}")

    def remove_refs(self, builder: str, node: str) -> None:
        """Forget the local state of the builds that a node ran."""
        if names.is_valid(builder) and names.is_valid(node):
            refs.remove_node(self._folder, builder, node)

    def touch(self, name: str) -> None:
        """Note that a builder is used now."""
        names.check(name)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._folder.write(f"activity/{name}", now.encode())

    def activity(self, name: str) -> str:
        """When a builder was last used, as RFC3339 in UTC; "" when that is not known."""
        if not names.is_valid(name):
            return ""
        text = (self._folder.read(f"activity/{name}") or b"").decode("ascii", "replace").strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return ""
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def current(self, key: str) -> GroupRecord | None:
        """The builder chosen for docker endpoint `key`, None for docker's own; may rewrite `current`."""
        chosen = self._read_current()
        if name := chosen.get("Name"):
            if chosen.get("Global") and (group := self.get(name)):
                return group
            if chosen.get("Key") == key:
                return self.get(name)
        data = self._folder.read(_default_file(key))
        name = (data or b"").decode("utf-8", "replace")
        group = self.get(name) if name else None
        try:
            self._write_current(key, name if group else "", False)
        except StoreError:
            pass  # the choice holds without being remembered
        return group

    def set_current(self, key: str, name: str, *, everywhere: bool = False, default: bool = False) -> None:
        """Choose a builder ("" for docker's own) for `key`, for every key, or as the lasting default of `key`."""
        self._write_current(key, name, everywhere)
        if default:
            self._folder.write(_default_file(key), name.encode())
        else:
            self._folder.remove(_default_file(key))

    def _read_current(self) -> dict[str, str]:
        try:
            value = json.loads(self._folder.read("current") or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict) or not isinstance(value.get("Name", ""), str):
            raise StoreError(
                f"the file {self._folder.path('current')} is damaged: remove it and choose a builder again "
                'with "buildwright use"'
            )
        return value

    def _write_current(self, key: str, name: str, everywhere: bool) -> None:
        data = record.go_json({"Key": key, "Name": name, "Global": everywhere})
        if self._folder.read("current") != data:
            self._folder.write("current", data)


def _default_file(key: str) -> str:
    return f"defaults/{hashlib.sha256(key.encode()).hexdigest()[:20]}"
