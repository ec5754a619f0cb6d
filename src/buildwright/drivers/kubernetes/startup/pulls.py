"""Images that cannot be pulled: how often it was tried, and when trying is in vain. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from buildwright.drivers.kubernetes.startup.words import flat
from buildwright.kube.objects import Container, Pod

_PULLING = ("ErrImagePull", "ImagePullBackOff")
_NO_PLATFORM = re.compile(r"no match for platform|does not match the specified platform", re.IGNORECASE)
_NO_SUCH_IMAGE = re.compile(r": not found|manifest unknown|name unknown", re.IGNORECASE)
_NOT_ALLOWED = re.compile(r"denied|unauthorized|authorization failed|forbidden", re.IGNORECASE)
_ATTEMPTS = 2


@dataclass(slots=True)
class Pulls:
    """Counts the attempts that are seen, for each container of each pod."""

    _attempts: dict[str, int] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)
    _errors: dict[str, str] = field(default_factory=dict)

    def feed(self, pod: Pod) -> None:
        for container in pod.containers:
            key = _key(pod, container)
            if container.waiting == "ErrImagePull" and self._states.get(key) != "ErrImagePull":
                self._attempts[key] = self._attempts.get(key, 0) + 1
                self._errors[key] = container.message
            self._states[key] = container.waiting

    def verdict(self, pod: Pod, container: Container, secrets: Sequence[str] = (), absent: str = "") -> str:
        """Why the image will not come, as words that follow the pod's name; "" as long as it may.

        `secrets` are the pull secrets that were given, `absent` the names of those that are not there.
        """
        if container.waiting not in _PULLING:
            return ""
        key = _key(pod, container)
        error = self._errors.get(key) or container.message
        tried = self._attempts.get(key, 0) >= _ATTEMPTS
        refused = container.waiting == "ImagePullBackOff" and _NOT_ALLOWED.search(error)
        missing = _NO_SUCH_IMAGE.search(error) or _NO_PLATFORM.search(error)
        if not (tried or refused or missing):
            return ""
        return f"cannot pull its image ({flat(error)}): {_remedy(container, error, secrets, absent)}"


def _remedy(container: Container, error: str, secrets: Sequence[str], absent: str) -> str:
    option = "qemu.image" if container.init and container.name == "qemu" else "image"
    if _NO_PLATFORM.search(error):
        return f"check the driver option {option}, or choose nodes it is for by nodeselector=kubernetes.io/arch=..."
    if _NOT_ALLOWED.search(error) and absent:
        return f"the secret {absent} is not there: make it, or change the driver option imagepullsecrets"
    if _NOT_ALLOWED.search(error) and secrets:
        return f"check the driver option {option}, and that the secret {' or '.join(secrets)} may pull it"
    if _NOT_ALLOWED.search(error):
        return f"check the driver option {option}, and give a secret that may pull it by imagepullsecrets"
    if _NO_SUCH_IMAGE.search(error):
        return f"check the driver option {option}"
    return f"check the driver option {option} and that the node can reach the registry"


def _key(pod: Pod, container: Container) -> str:
    return f"{pod.name}/{container.name}"
