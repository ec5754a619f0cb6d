"""Strategic merge patches."""

from __future__ import annotations

from typing import Any

import pytest

from buildwright.drivers.kubernetes.manifests.patch import merge

CONTAINER = {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}
VOLUME = {"name": "v", "emptyDir": {}}
KEEP = {"keep": {"x": 1}}


@pytest.mark.parametrize(
    ("patch", "merged"),
    [
        ({"a": 1}, {**KEEP, "a": 1, "volumes": [VOLUME]}),
        ({"keep": None, "volumes": []}, {"volumes": [VOLUME]}),
        ({"keep": {"$patch": "replace", "y": 2}}, {"keep": {"y": 2}, "volumes": [VOLUME]}),
        ({"volumes": [{"name": "v", "$patch": "delete"}]}, {**KEEP, "volumes": []}),
        ({"volumes": [{"name": "w"}]}, {**KEEP, "volumes": [VOLUME, {"name": "w"}]}),
        ({"volumes": [{"name": "v", "emptyDir": None, "x": {}}]}, {**KEEP, "volumes": [{"name": "v", "x": {}}]}),
    ],
)
def test_objects_are_merged_and_lists_by_their_key(patch: dict[str, Any], merged: dict[str, Any]) -> None:
    assert merge({**KEEP, "volumes": [VOLUME]}, patch) == merged


def test_the_target_stays_as_it_is() -> None:
    patch = {"spec": {"containers": [{"name": "a", "env": [{"name": "X", "value": "2"}]}], "tolerations": [2]}}
    merged = merge({"spec": {"containers": [CONTAINER], "tolerations": [1]}}, patch)
    assert merged["spec"]["containers"] == [{"name": "a", "image": "1", "env": [{"name": "X", "value": "2"}]}]
    assert merged["spec"]["tolerations"] == [2]
    assert CONTAINER["env"] == [{"name": "X", "value": "1"}]


@pytest.mark.parametrize(
    "patch", [{"volumes": [{"emptyDir": {}}]}, {"volumes": ["v"]}, {"$patch": "delete"}, {"$retainKeys": ["x"]}]
)
def test_a_patch_that_is_none_is_refused(patch: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r'"(volumes|\$patch|\$retainKeys)"'):
        merge({}, patch)
