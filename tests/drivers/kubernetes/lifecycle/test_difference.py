"""Differences of objects are paths that people know, and hold no secrets."""

from __future__ import annotations

from typing import Any

import pytest

from buildwright.drivers.kubernetes.lifecycle.difference import difference, merged


def deployment(**container: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "buildkitd", "image": "a:1", **container}]}
    return {"kind": "Deployment", "metadata": {"name": "b0"}, "spec": {"replicas": 1, "template": {"spec": pod}}}


def test_a_changed_field_is_a_path_with_both_values() -> None:
    assert difference(deployment(), deployment(image="b:2")) == [
        "spec.template.spec.containers[buildkitd].image: a:1 -> b:2"
    ]
    assert difference(deployment(args=["--x"]), deployment(args=["--x", "--y"])) == [
        'spec.template.spec.containers[buildkitd].args: ["--x"] -> ["--x", "--y"]'
    ]


def test_what_comes_and_goes_is_told_leaf_by_leaf() -> None:
    limits = {"limits": {"memory": "1Gi", "cpu": "2"}}
    path = "spec.template.spec.containers[buildkitd].resources.limits"
    assert difference(deployment(), deployment(resources=limits)) == [
        f"{path}.cpu: none -> 2",
        f"{path}.memory: none -> 1Gi",
    ]
    assert difference(deployment(resources=limits), deployment()) == [
        f"{path}.cpu: 2 -> none",
        f"{path}.memory: 1Gi -> none",
    ]


def test_the_order_of_named_things_does_not_matter() -> None:
    mounts = [{"name": "a", "mountPath": "/a"}, {"name": "a", "mountPath": "/b"}]
    assert difference(deployment(volumeMounts=mounts), deployment(volumeMounts=mounts[::-1])) == []


def test_what_only_the_server_writes_is_no_difference() -> None:
    live = deployment() | {"status": {"replicas": 1}, "apiVersion": "apps/v1"}
    live["metadata"] = {"name": "b0", "uid": "u", "resourceVersion": "7", "generation": 3}
    assert difference(live, deployment()) == []


def test_values_of_the_environment_are_not_shown() -> None:
    old, new = (deployment(env=[{"name": "TOKEN", "value": value}]) for value in ("hunter1", "hunter2"))
    path = "spec.template.spec.containers[buildkitd].env[TOKEN]"
    assert difference(old, new) == [f"{path}.value: changed (not shown)"]
    assert difference(deployment(), new) == [f"{path}.name: none -> TOKEN", f"{path}.value: added (not shown)"]


def test_files_are_told_by_their_lines_and_keys_are_not() -> None:
    old = {
        "kind": "ConfigMap",
        "metadata": {},
        "data": {"buildkitd.toml": "a = 1\nb = 2\n", "key.pem": "PRIVATE KEY x"},
    }
    new = {
        "kind": "ConfigMap",
        "metadata": {},
        "data": {"buildkitd.toml": "a = 1\nb = 3\n"},
        "binaryData": {"c": "AA=="},
    }
    assert difference(old, new) == [
        "binaryData.c: added (not shown)",
        "data[buildkitd.toml]:",
        "  @@ -1,2 +1,2 @@",
        "   a = 1",
        "  -b = 2",
        "  +b = 3",
        "data[key.pem]: removed (not shown)",
    ]


@pytest.mark.parametrize("name", ["key.pem", "key", "a b"])
@pytest.mark.parametrize("field", ["data", "stringData"])
def test_a_secret_s_content_is_not_shown(name: str, field: str) -> None:
    old, new = ({"kind": "Secret", "metadata": {}, field: {name: value}} for value in ("aHVudGVyMQ==", "eA=="))
    (line,) = difference(old, new)
    assert line.endswith(": changed (not shown)")
    (line,) = difference({"kind": "Secret", "metadata": {}}, new)
    assert line.endswith(": added (not shown)")


@pytest.mark.parametrize("names", [("a]b",), ("TWICE", "TWICE"), ("value",)])
def test_values_of_the_environment_are_not_shown_whatever_their_names(names: tuple[str, ...]) -> None:
    old, new = (
        deployment(env=[{"name": name, "value": value} for name in names]) for value in ("hunter1", "hunter2")
    )
    for lines in (difference(old, new), difference(deployment(), new), difference(old, deployment())):
        assert "hunter" not in str(lines)
        assert "(not shown)" in str(lines)


def test_a_label_called_env_and_where_a_value_comes_from_are_shown() -> None:
    old, new = ({"kind": "Deployment", "metadata": {"labels": {"env": value}}} for value in ("test", "prod"))
    assert difference(old, new) == ["metadata.labels.env: test -> prod"]
    source = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    path = "spec.template.spec.containers[buildkitd].env[TOKEN]"
    assert f"{path}.valueFrom.secretKeyRef.name: none -> s" in difference(deployment(), deployment(env=[source]))


def test_an_object_is_made_or_deleted_as_a_whole() -> None:
    assert difference(None, deployment()) == ["is made"]
    assert difference(deployment(), None) == ["is deleted"]
    assert difference(None, None) == []


def test_marks_of_others_stay_and_ours_follow() -> None:
    live = {
        "metadata": {"name": "b0", "managedFields": [1], "annotations": {"mine": "1", "ours": "old", "gone": "x"}}
    }
    wanted = {"metadata": {"name": "b0", "annotations": {"ours": "new"}}, "spec": {"replicas": 2}}
    before = {"metadata": {"annotations": {"ours": "old", "gone": "x"}}}
    made = merged({**live, "spec": {"replicas": 9, "paused": True}}, wanted, before)
    assert made == {
        "metadata": {"name": "b0", "annotations": {"mine": "1", "ours": "new"}},
        "spec": {"replicas": 2},
    }
