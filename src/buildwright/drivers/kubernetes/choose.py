"""Which pod takes a build. Pure.

`sticky` is buildx's ring (serialx/hashring with weight 1): one point for each pod at MD5(name + "-0"), both halves
read as little-endian signed integers; a key belongs to the first point after its own hash.

`affinity` is rendezvous hashing (Thaler and Ravishankar 1996): every pod draws a number for a key, the highest wins.
Each pod bears the same share of the keys, where the ring's arcs differ severalfold, and a pod that comes or goes
moves only the keys that it wins or held. Where it is known how many builds each pod runs, one that would run more
than 1.25 times the mean is passed over for the key's next choice (bounded loads, Mirrokni et al. 2018).
"""

from __future__ import annotations

import bisect
import hashlib
import math
import random
import struct
from collections.abc import Mapping, Sequence

from buildwright.drivers.kubernetes.options import LoadBalance
from buildwright.kube.objects import Pod

CONTAINER = "buildkitd"
_BALANCE = 1.25
_UNKNOWN: Mapping[str, int] = {}


def point(text: str) -> tuple[int, int]:
    """Where a text lies on the ring."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    high, low = struct.unpack("<qq", digest)
    return high, low


def sticky(names: Sequence[str], key: str) -> str:
    """The name that `key` belongs to; the order of `names`, which are not empty, does not matter."""
    ring = sorted((point(f"{name}-0"), name) for name in names)
    position = bisect.bisect_right([where for where, _ in ring], point(key))
    return ring[position % len(ring)][1]


def affinity(names: Sequence[str], key: str, builds: Mapping[str, int] = _UNKNOWN) -> str:
    """The name that draws the highest number for `key` of those that can bear another build.

    The order of `names`, not empty, does not matter. `builds` says how many run on each, none where it says nothing.
    """

    def draw(name: str) -> tuple[bytes, str]:
        return hashlib.blake2b(f"{name}\0{key}".encode(errors="surrogateescape"), digest_size=16).digest(), name

    running = {name: builds.get(name, 0) for name in names}
    most = math.ceil(_BALANCE * (sum(running.values()) + 1) / len(running))
    return max((name for name in running if running[name] < most), key=draw)


def choose(pods: Sequence[Pod], key: str, how: LoadBalance, builds: Mapping[str, int] = _UNKNOWN) -> Pod | None:
    """One of the pods that are ready and stay; None when there is none. `builds` is how many run on each, by name."""
    ready = sorted((pod for pod in pods if pod.ready), key=lambda pod: pod.name)
    if not ready:
        return None
    if how is LoadBalance.RANDOM:
        return random.choice(ready)
    names = [pod.name for pod in ready]
    chosen = affinity(names, key, builds) if how is LoadBalance.AFFINITY else sticky(names, key)
    return next(pod for pod in ready if pod.name == chosen)


def container_of(pod: Pod) -> str:
    """The daemon's container: the one called buildkitd, since injected sidecars may come first."""
    if CONTAINER in pod.specified or not pod.specified:
        return CONTAINER
    return pod.specified[0]
