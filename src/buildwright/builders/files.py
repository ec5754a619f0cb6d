"""Reading and replacing the small files of one folder; every failure is a StoreError that names the file."""

from __future__ import annotations

import os
import shutil
import tempfile

from buildwright.builders.location import Owner
from buildwright.errors import StoreError


class Folder:
    """Paths are relative to `root` and written with slashes. New files are the user's alone."""

    def __init__(self, root: str, owner: Owner | None = None) -> None:
        self.root = root
        self._owner = owner

    def path(self, name: str) -> str:
        return os.path.join(self.root, *name.split("/"))

    def make(self, name: str) -> None:
        """Make a folder, and its parents, for the user alone. One that exists keeps its mode."""
        path = self.path(name)
        try:
            missing = []
            while not os.path.isdir(path):
                missing.append(path)
                path = os.path.dirname(path)
            for folder in reversed(missing):
                os.makedirs(folder, mode=0o700, exist_ok=True)
                self._give(folder)
            if not missing:
                self._give(path)
        except OSError as error:
            raise StoreError(f"cannot make the folder {self.path(name)}: {error.strerror}") from error

    def names(self, name: str) -> list[str]:
        """What a folder holds, sorted; nothing when it is not there."""
        try:
            return sorted(os.listdir(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot read the folder {self.path(name)}: {error.strerror}") from error

    def read(self, name: str) -> bytes | None:
        """A file's content, None when it is not there."""
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self.path(name)}: {error.strerror}") from error

    def write(self, name: str, data: bytes, mode: int = 0o600) -> None:
        """Replace a file in one step; on failure the old one is untouched and nothing else is left."""
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=".tmp-", dir=self.root)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, mode)
                self._give(temporary)
                os.replace(temporary, self.path(name))
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise StoreError(f"cannot write {self.path(name)}: {error.strerror}") from error

    def remove(self, name: str) -> None:
        """Delete a file or a folder with all in it; nothing there is no error."""
        path = self.path(name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error.strerror}") from error

    def _give(self, path: str) -> None:
        if self._owner is not None and os.name != "nt":
            status = os.stat(path)
            if (status.st_uid, status.st_gid) != (self._owner.uid, self._owner.gid):
                os.chown(path, self._owner.uid, self._owner.gid)
