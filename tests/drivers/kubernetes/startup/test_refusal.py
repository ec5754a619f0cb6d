"""Why a cluster refuses pods, and what to do: messages of real clusters."""

from __future__ import annotations

import pytest

from buildwright.drivers.kubernetes.options import parse
from buildwright.drivers.kubernetes.startup import refusal

CLAIM = "persistent-volume-claim.requests.storage"


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            'pods "b" is forbidden: failed quota: q: must specify limits.cpu for: buildkitd; requests.memory for: b',
            "set the driver options limits.cpu, requests.memory",
        ),
        (
            'pods "b-x" is forbidden: failed quota: lim: must specify memory for: buildkitd,qemu',
            "options requests.memory; its init container has no options of its own, give it some by podtemplate",
        ),
        (
            'pods "b" is forbidden: exceeded quota: q, requested: limits.cpu=8,pods=1, used: limits.cpu=0,pods=0',
            "lower the driver options limits.cpu or replicas, or have the quota q raised",
        ),
        (
            'pods "b-x" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0',
            "free some, lower the driver option replicas, or have the quota none raised",
        ),
        (
            'persistentvolumeclaims "c" is forbidden: exceeded quota: q, requested: requests.storage=9Gi, used: x=0',
            f"lower the driver option {CLAIM}, or have the quota q raised",
        ),
        (
            'persistentvolumeclaims "c" is forbidden: exceeded quota: q, requested: persistentvolumeclaims=1, used:',
            "free some, or have the quota q raised",
        ),
        (
            'configmaps "b" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1',
            "free some, or have the quota q raised",
        ),
        (
            'pods "b" is forbidden: exceeded quota: q, requested: requests.example.com/gpu=1, used: x=0',
            "free some, lower the driver option replicas, or have the quota q raised",
        ),
        (
            'pods "b-x" is forbidden: violates PodSecurity "baseline:latest": privileged (container "buildkitd")',
            "kubectl label --overwrite namespace ci pod-security.kubernetes.io/enforce=privileged",
        ),
        (
            'pods "b-x" is forbidden: unable to validate against any security context constraint: [provider "x"]',
            "oc adm policy add-scc-to-user privileged -z robot -n ci",
        ),
        (
            'pods "b-" is forbidden: error looking up service account ci/robot: serviceaccount "robot" not found',
            "change the driver option serviceaccount, or kubectl -n ci create serviceaccount robot",
        ),
        (
            'pods "b-" is forbidden: no PriorityClass with name absent was found',
            "change the driver option priorityclass",
        ),
        (
            'pods "b-x" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
            "change the driver options requests.cpu and limits.cpu to fit the namespace's LimitRange",
        ),
        (
            (
                'pods "b-x" is forbidden: [memory max limit to request ratio per Container is 2, but provided ratio '
                "is 4.000000, maximum cpu usage per Pod is 1. No limit is specified]"
            ),
            "change the driver options requests.memory and limits.memory, requests.cpu and limits.cpu to fit the",
        ),
        (
            'admission webhook "validate.kyverno.svc-fail" denied the request: privileged is disallowed',
            "adapt the pods to that rule (rootless=true, podtemplate, labels)",
        ),
        (
            "pods \"b-x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "adapt the pods to that rule",
        ),
        (
            'pods "b-x" is forbidden: unable to create new content in namespace ci because it is being terminated',
            "wait until it is gone",
        ),
        ('Pod "b-x" is invalid: spec.containers[0].name: Required value', "check the driver options"),
        ('pods "b-x" is forbidden: of a reason of its own', "ask who administers the cluster"),
    ],
)
def test_a_refusal_is_final_and_has_a_remedy_in_words_of_the_options(message: str, remedy: str) -> None:
    found = refusal.read(f"Error creating: {message}", parse({"serviceaccount": "robot"}), "ci")
    assert found.final
    assert remedy in found.remedy
    assert not found.text.startswith("Error creating")


@pytest.mark.parametrize(
    "message",
    [
        'pods "b-" is forbidden: error looking up service account ci/default: serviceaccount "default" not found',
        'Internal error occurred: failed calling webhook "v.io": failed to call webhook: connection refused',
        'create Pod b-0 in StatefulSet b failed error: object is being deleted: pods "b-0" already exists',
        "etcdserver: request timed out",
    ],
)
def test_what_may_pass_is_waited_for(message: str) -> None:
    assert not refusal.read(message, parse({}), "ci").final


def test_a_webhook_that_does_not_answer_is_named() -> None:
    found = refusal.read('Internal error occurred: failed calling webhook "v.io": no endpoints', parse({}), "ci")
    assert "admission webhook v.io" in found.remedy


def test_the_prefixes_of_controllers_are_left_out() -> None:
    said = '(combined from similar events): Error creating: pods "b" is forbidden: x.'
    assert refusal.read(said, parse({}), "ci").text == 'pods "b" is forbidden: x'
    said = 'create Pod b-0 in StatefulSet b failed error: pods "b-0" is forbidden: x'
    assert refusal.read(said, parse({}), "ci").text == 'pods "b-0" is forbidden: x'
