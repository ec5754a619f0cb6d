"""Why a cluster refuses to create a pod or a claim, in words, and what to do. Pure.

The texts are those of Kubernetes' admission plugins (quota, LimitRanger, PodSecurity, ServiceAccount, Priority,
webhooks, policies) and of OpenShift's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from buildwright.drivers.kubernetes.options import CLAIM, Options

_PREFIX = re.compile(
    r"(\(combined from similar events\): )?(Error creating: |create (Pod|Claim) .*? failed error: )?"
)
_REFUSED = re.compile(r"forbidden|denied|quota|is invalid|not found|unable to validate", re.IGNORECASE)
_MAY_PASS = re.compile(
    r"failed calling webhook|object is being deleted|already exists|please apply your changes|timed? ?out|"
    r"status unknown for quota",
    re.IGNORECASE,
)
_RESOURCE = re.compile(r"\b(?:(?:requests|limits)\.)?(?:cpu|memory|ephemeral-storage)\b")
_RANGED = re.compile(r"(?:maximum|minimum) (\S+) (?:usage|limit)|([\w.-]+) max limit to request ratio")
"""What a LimitRange finds, of which it may list several."""
_PER_POD = re.compile(r"\bpods=|\b(?:requests|limits)\.")
"""What fewer pods need less of."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """`text` says why, `remedy` what to do, `final` whether it stays so unless somebody does something.

    `crowded` is True when pods that leave may make room.
    """

    text: str
    remedy: str
    final: bool
    crowded: bool = False


def read(message: str, options: Options, namespace: str) -> Refusal:
    """What a ReplicaFailure condition or a FailedCreate event means."""
    said = _PREFIX.sub("", " ".join(message.split()), count=1).rstrip(".")
    final = bool(_REFUSED.search(said)) and not _MAY_PASS.search(said)
    if f'serviceaccount "{options.service_account or "default"}" not found' in said and not options.service_account:
        final = False  # a namespace's own account comes a moment after the namespace
    crowded = "exceeded quota" in said and not re.search(r"used: pods=0\b", said)
    return Refusal(said, remedy(said, options, namespace) or "ask who administers the cluster", final, crowded)


def remedy(said: str, options: Options, namespace: str) -> str:
    """What to do about a refusal, "" when its words are none that are known."""
    found = ((pattern.search(said), tell) for pattern, tell in _REMEDIES)
    return next((tell(words, options, namespace) for words, tell in found if words), "")


def _must_specify(found: re.Match[str], options: Options, namespace: str) -> str:
    names = ", ".join(dict.fromkeys(_option(name) for name in _RESOURCE.findall(found[1])))
    rest = "; its init container has no options of its own, give it some by podtemplate" if "qemu" in found[1] else ""
    return f"set the driver options {names or 'requests.* and limits.*'}{rest}"


def _exceeded(found: re.Match[str], options: Options, namespace: str) -> str:
    asked = found[2]
    if "requests.storage=" in asked:
        return f"lower the driver option {CLAIM}, or have the quota {found[1]} raised"
    names = dict.fromkeys(_option(name) for name in _RESOURCE.findall(asked))
    if names:
        return f"lower the driver options {', '.join(names)} or replicas, or have the quota {found[1]} raised"
    fewer = "lower the driver option replicas, " if _PER_POD.search(asked) else ""
    return f"free some, {fewer}or have the quota {found[1]} raised"


def _security_level(found: re.Match[str], options: Options, namespace: str) -> str:
    return (
        "BuildKit needs more than this namespace allows, also when rootless: use another one (driver option "
        "namespace), or allow it with kubectl label --overwrite namespace "
        f"{namespace} pod-security.kubernetes.io/enforce=privileged"
    )


def _context_constraints(found: re.Match[str], options: Options, namespace: str) -> str:
    account = options.service_account or "default"
    return (
        f"allow it with oc adm policy add-scc-to-user privileged -z {account} -n {namespace}, or choose an account "
        "that may by the driver option serviceaccount"
    )


def _account(found: re.Match[str], options: Options, namespace: str) -> str:
    return f"change the driver option serviceaccount, or kubectl -n {namespace} create serviceaccount {found[1]}"


def _priority(found: re.Match[str], options: Options, namespace: str) -> str:
    return "change the driver option priorityclass to one that kubectl get priorityclasses lists"


def _range(found: re.Match[str], options: Options, namespace: str) -> str:
    if "PersistentVolumeClaim" in found.string:
        return f"change the driver option {CLAIM}"
    names = dict.fromkeys(first or second for first, second in _RANGED.findall(found.string))
    both = ", ".join(f"requests.{name} and limits.{name}" for name in names)
    return f"change the driver options {both} to fit the namespace's LimitRange"


def _webhook(found: re.Match[str], options: Options, namespace: str) -> str:
    hint = "" if options.rootless else "rootless=true, "
    return f"adapt the pods to that rule ({hint}podtemplate, labels), or have the namespace exempted from it"


def _down(found: re.Match[str], options: Options, namespace: str) -> str:
    return f"see whether what serves the admission webhook {found[1]} runs"


def _ending(found: re.Match[str], options: Options, namespace: str) -> str:
    return "wait until it is gone and create it anew, or use another one (driver option namespace)"


def _rejected(found: re.Match[str], options: Options, namespace: str) -> str:
    return "check the driver options, podtemplate above all"


_REMEDIES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Options, str], str]], ...] = (
    (re.compile(r"failed calling webhook \"?([^\s\":]+)"), _down),
    (re.compile(r"must specify (.+)"), _must_specify),
    (re.compile(r"exceeded quota: ([^\s,]+), requested: (.*?), used:"), _exceeded),
    (re.compile(r"violates PodSecurity"), _security_level),
    (re.compile(r"security context constraint"), _context_constraints),
    (re.compile(r"serviceaccount \"([^\"]+)\" not found"), _account),
    (re.compile(r"no PriorityClass with name"), _priority),
    (_RANGED, _range),
    (re.compile(r"admission webhook|ValidatingAdmissionPolicy"), _webhook),
    (re.compile(r"being terminated"), _ending),
    (re.compile(r"is invalid"), _rejected),
)


def _option(resource: str) -> str:
    return resource if "." in resource else f"requests.{resource}"
