"""What a build is about, told apart from where it was checked out: CI gives every job a folder of its own. Pure but
for the few files of git that `vcs` reads."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qs, urlsplit

from buildwright.build.remote import is_git, is_http, is_remote
from buildwright.build.vcs import find_work_tree
from buildwright.model.request import BuildRequest

_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.*)", re.DOTALL)
_PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}


def project_key(request: BuildRequest) -> str:
    """The repository, the context's path in it, the Dockerfile and the target; equal for every checkout.

    A folder that no remote is known for is its absolute path. Holds no credentials, and is meant to be hashed.
    """
    if is_remote(request.context) and not os.path.isdir(request.context):
        repository, folder = _of_address(request.context)
        dockerfile = request.dockerfile or "Dockerfile"
    else:
        context = "." if request.context == "-" else request.context
        root, repository, folder = _of_folder(context)
        dockerfile = _within(root, request.dockerfile or os.path.join(context, "Dockerfile"))
    if is_http(dockerfile):
        dockerfile = repository_of(dockerfile)
    return "\0".join((repository, folder, dockerfile, request.target))


def repository_of(address: str) -> str:
    """An address without what differs between ways to one repository: scheme, user, password, query and `.git`."""
    if "://" not in address and (scp := _SCP.fullmatch(address)):
        place, path = scp[1].lower(), scp[2]
    else:
        try:
            parts = urlsplit(address)
        except ValueError:  # brackets that hold no address: such a text only equals itself
            return address
        place, path = parts.netloc.rpartition("@")[2].lower(), parts.path
        place = place.removesuffix(f":{_PORTS.get(parts.scheme)}")
    return "/".join(filter(None, (place, path.rstrip("/").removesuffix(".git").lstrip("/" if place else ""))))


def _of_address(address: str) -> tuple[str, str]:
    """The repository and the folder in it; of other addresses the whole, without its query."""
    plain, _, fragment = address.partition("#")
    if not is_git(plain):
        return repository_of(plain), ""
    query = parse_qs(plain.partition("?")[2]).get("subdir", [""])[0]
    return repository_of(plain), (fragment.partition(":")[2] or query).strip("/")


def _of_folder(folder: str) -> tuple[str, str, str]:
    """The folder that paths are told from, the repository, and the context's path in it."""
    path = os.path.realpath(folder)
    tree = find_work_tree(path)
    if tree is None or not tree.remote:
        return path, path, ""
    return tree.root, repository_of(tree.remote), os.path.relpath(path, tree.root).replace(os.sep, "/")


def _within(root: str, path: str) -> str:
    """A path from `root`; what lies elsewhere, an address and stdin stay as they are."""
    if path == "-" or is_http(path):
        return path
    relative = os.path.relpath(os.path.realpath(path), root)
    return (os.path.realpath(path) if relative.startswith("..") else relative).replace(os.sep, "/")
