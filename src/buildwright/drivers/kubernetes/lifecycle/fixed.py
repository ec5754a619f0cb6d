"""What of a builder cannot change once its pods exist, and how else one gets there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildwright.drivers.kubernetes import quantity
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.options import ACCESS_MODE, CLAIM, STORAGE_CLASS
from buildwright.errors import DriverOptionError, UsageError
from buildwright.kube.api import Object

_ANEW = "create another builder with it, or remove this one and create it again"


def check_options(before: Fleet, after: Fleet) -> None:
    """Raises UsageError when one builder cannot have these options after those."""
    if not (before.options.managed and after.options.managed):
        raise DriverOptionError(
            f"node {after.node.name} uses pods that someone else manages (managed=false): change them where they are "
            "made, and the options by which they are found with buildwright create --node",
            option="managed",
        )
    for option in ("namespace", "context"):
        if getattr(before.options, option) != getattr(after.options, option):
            raise _fixed(option, after, f"its pods stay in the {option} that they are in")


def check_found(found: Object, after: Fleet) -> None:
    """Raises UsageError when the workload that was found cannot become the one that is wanted."""
    spec, wanted = found["spec"], after.workload["spec"]
    if found["kind"] != after.workload["kind"]:
        words = f"a {found['kind']} does not become a {after.workload['kind']}"
        raise _fixed(CLAIM, after, words)
    if spec["selector"].get("matchLabels") != wanted["selector"]["matchLabels"]:
        raise _fixed("labels", after, f"the labels by which a {found['kind']} finds its pods are for good")
    if "volumeClaimTemplates" in wanted:
        _check_claim(claim_of(spec), claim_of(wanted), after)


def claim_of(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The specification of the claims of a StatefulSet's pods."""
    claim: Mapping[str, Any] = spec["volumeClaimTemplates"][0]["spec"]
    return claim


def size_of(claim: Mapping[str, Any]) -> str:
    """How large a claim's specification asks its volume to be."""
    return str(((claim.get("resources") or {}).get("requests") or {}).get("storage", "0"))


def _check_claim(found: Mapping[str, Any], wanted: Mapping[str, Any], after: Fleet) -> None:
    if found.get("accessModes") != wanted["accessModes"]:
        raise _fixed(ACCESS_MODE, after, "a volume claim keeps its access mode")
    if wanted.get("storageClassName") not in (None, found.get("storageClassName")):
        raise _fixed(STORAGE_CLASS, after, f"its claims are of class {found.get('storageClassName') or '(default)'}")
    if quantity.parse(size_of(wanted)) < quantity.parse(size_of(found)):
        raise _fixed(CLAIM, after, f"a volume claim of {size_of(found)} does not shrink")


def _fixed(option: str, fleet: Fleet, why: str) -> UsageError:
    return DriverOptionError(
        f'driver option "{option}" of node {fleet.node.name} cannot be changed ({why}): {_ANEW}', option=option
    )
