"""A node's objects follow its options: what is told, what is written, and what is refused before that."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes import perseverance
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.lifecycle import objects
from buildwright.drivers.kubernetes.lifecycle.reconcile import FILES, Reconciliation
from buildwright.drivers.table import make
from buildwright.errors import BuildwrightError, ClusterError, DriverOptionError, NotReadyError
from buildwright.kube.objects import Pod
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink
from buildwright.testing.kube import ApiServer, Refusal, pod

KEY = b"-----BEGIN PRIVATE KEY-----\n"
CLAIMED = {"persistent-volume-claim.requests.storage": "1Gi", "replicas": "2"}


@dataclass
class Bed:
    """A node that has been started in a cluster in memory."""

    server: ApiServer
    node: Node

    def changed(self, files: Mapping[str, bytes] | None = None, **options: str) -> Reconciliation:
        opts = {name: value for name, value in {**self.node.driver_opts, **options}.items() if value}
        return Reconciliation(
            self.node, replace(self.node, driver_opts=opts, files=self.node.files if files is None else files)
        )

    def get(self, plural: str, name: str = "b0") -> Any:
        return self.server.objects.get((plural, "default", name))

    @property
    def writes(self) -> list[tuple[str, str, str]]:
        return [request for request in self.server.requests if request[0] in ("create", "update", "patch", "delete")]


def on(folder: Path, scenario: Callable[[Bed], Awaitable[None]], files: Any = None, **options: str) -> None:
    async def once() -> None:
        async with ApiServer() as server:
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            bed = Bed(server, Node(name="b0", endpoint=endpoint, driver_opts=options, files=files or {}))
            await make("kubernetes", bed.node).start(Sink())
            await scenario(bed)

    asyncio.run(once())


async def done(update: Reconciliation) -> tuple[str, ...]:
    lines = await update.plan()
    await update.apply()
    await update.follow(Sink())
    return lines


def test_a_changed_option_is_told_and_done(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        update = bed.changed(replicas="2", image="i:2")
        lines = await update.plan()
        assert lines == (
            "Deployment b0",
            "  spec.replicas: 1 -> 2",
            "  spec.template.spec.containers[buildkitd].image: moby/buildkit:buildx-stable-1 -> i:2",
        )
        assert bed.get("deployments")["spec"]["replicas"] == 1
        await update.apply()
        sink = Sink()
        await update.follow(sink)
        assert bed.get("deployments")["spec"]["replicas"] == 2
        assert FILES not in bed.get("deployments")["spec"]["template"]["metadata"].get("annotations", {})

    on(tmp_path, scenario)


def test_without_a_change_nothing_is_told_or_written(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        before = dict(bed.server.objects)
        assert await done(bed.changed()) == ()
        assert bed.server.objects == before

    on(tmp_path, scenario, {"buildkitd.toml": b"debug = true\n", "certs/key.pem": KEY}, drain="10s")


def test_what_someone_changed_by_hand_is_put_back(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        workload = bed.get("deployments")
        workload["spec"]["template"]["spec"]["nodeSelector"] = {"by": "hand"}
        bed.server.put("deployments", workload)
        bed.server.put("configmaps", {**bed.get("configmaps", "b0-config"), "data": {"other": "x"}})
        bed.server.drop("poddisruptionbudgets", "b0")
        lines = await done(bed.changed())
        assert "  spec.template.spec.nodeSelector.by: hand -> none" in lines
        assert "  data.other:" in lines
        assert lines[-2:] == ("PodDisruptionBudget b0", "  is made")
        assert "nodeSelector" not in bed.get("deployments")["spec"]["template"]["spec"]
        assert bed.get("configmaps", "b0-config")["data"] == {"buildkitd.toml": "debug = true\n"}
        (owner,) = bed.get("poddisruptionbudgets")["metadata"]["ownerReferences"]
        assert owner["uid"] == bed.get("deployments")["metadata"]["uid"]

    on(tmp_path, scenario, {"buildkitd.toml": b"debug = true\n"})


def test_other_files_make_new_pods_and_leave_none_behind(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        owners = bed.get("secrets", "b0-config-1")["metadata"]["ownerReferences"]
        lines = await done(bed.changed({"buildkitd.toml": b"debug = false\n", "other/key.pem": KEY}))
        stamp = bed.get("deployments")["spec"]["template"]["metadata"]["annotations"][FILES]
        assert f"  spec.template.metadata.annotations[{FILES}]: none -> {stamp}" in lines
        assert bed.get("secrets", "b0-config-1")["metadata"]["ownerReferences"] == owners
        bed.node = replace(bed.node, files={"buildkitd.toml": b"debug = false\n", "other/key.pem": KEY})
        assert "Secret b0-config-1" in await done(bed.changed({}))
        assert bed.get("secrets", "b0-config-1") is None
        assert bed.get("configmaps", "b0-config") is None
        assert bed.get("deployments")["spec"]["template"]["metadata"]["annotations"][FILES] != stamp

    on(tmp_path, scenario, {"buildkitd.toml": b"debug = true\n", "certs/key.pem": KEY})


@pytest.mark.parametrize("files", [{"buildkitd.toml": b"debug = false\n"}, {"buildkitd.toml": b"", "certs/k": KEY}])
def test_other_files_reach_the_pods_after_an_interruption_and_once(tmp_path: Path, files: dict[str, bytes]) -> None:
    async def scenario(bed: Bed) -> None:
        first = bed.changed(files)
        await first.plan()
        bed.server.refuse["update", "deployments"] = Refusal(403, "Forbidden", "no more")
        with pytest.raises(ClusterError):
            await first.apply()
        bed.server.refuse.clear()
        assert f"  spec.template.metadata.annotations[{FILES}]: none -> " in "\n".join(await done(bed.changed(files)))
        assert await bed.changed(files).plan() == ()

    on(tmp_path, scenario, {"buildkitd.toml": b"debug = true\n"})


def test_files_that_someone_changes_twice_make_new_pods_twice(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        stamps = []
        for _ in range(2):
            bed.server.put("configmaps", {**bed.get("configmaps", "b0-config"), "data": {"other": "x"}})
            await done(bed.changed())
            stamps.append(bed.get("deployments")["spec"]["template"]["metadata"]["annotations"][FILES])
        assert stamps[0] != stamps[1]

    on(tmp_path, scenario, {"buildkitd.toml": b"debug = true\n"})


def test_a_stopped_node_stays_so(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        await make("kubernetes", bed.node).stop()
        assert "  spec.replicas" not in "\n".join(await done(bed.changed(image="i:2", replicas="3")))
        assert bed.get("deployments")["spec"]["replicas"] == 0

    on(tmp_path, scenario)


def test_a_node_that_has_nothing_in_the_cluster_has_nothing_to_change(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        await make("kubernetes", bed.node).remove()
        bed.server.requests.clear()
        assert await done(bed.changed(labels="a=b", replicas="2")) == ()
        assert bed.writes == []

    on(tmp_path, scenario)


@pytest.mark.parametrize(
    ("options", "change", "words"),
    [
        ({}, {"labels": "a=b"}, '"labels" .*for good'),
        ({}, {"persistent-volume-claim.requests.storage": "1Gi"}, "a Deployment does not become a StatefulSet"),
        (CLAIMED, {"persistent-volume-claim.requests.storage": ""}, "a StatefulSet does not become a Deployment"),
        (CLAIMED, {"persistent-volume-claim.requests.storage": "500Mi"}, "a volume claim of 1Gi does not shrink"),
        (CLAIMED, {"persistent-volume-claim.accessmode": "ReadWriteMany"}, "keeps its access mode"),
        (CLAIMED, {"persistent-volume-claim.storageclass": "fast"}, "of class"),
    ],
)
def test_what_is_for_good_is_refused_and_nothing_touched(
    tmp_path: Path, options: dict[str, str], change: dict[str, str], words: str
) -> None:
    async def scenario(bed: Bed) -> None:
        bed.server.requests.clear()
        with pytest.raises(DriverOptionError, match=rf"{words}.*create another builder"):
            await bed.changed(**change).plan()
        assert bed.writes == []

    on(tmp_path, scenario, **options)


def test_larger_claims_are_asked_for_and_the_workload_made_anew(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        lines = await done(bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"}))
        assert lines[-2:] == ("PersistentVolumeClaim buildkitd-b0-1", "  spec.resources.requests.storage: 1Gi -> 2Gi")
        for number in (0, 1):
            claim = bed.get("persistentvolumeclaims", f"buildkitd-b0-{number}")
            assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
        (template,) = bed.get("statefulsets")["spec"]["volumeClaimTemplates"]
        assert template["spec"]["resources"]["requests"]["storage"] == "2Gi"
        uid = bed.get("statefulsets")["metadata"]["uid"]
        assert bed.get("configmaps", "b0-config")["metadata"]["ownerReferences"][0]["uid"] == uid

    on(tmp_path, scenario, **CLAIMED)


def test_a_server_that_fails_meanwhile_leaves_no_pods_without_their_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perseverance, "POLL", 0.01)

    async def scenario(bed: Bed) -> None:
        update = bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"})
        await update.plan()
        bed.server.refuse["create", "statefulsets"] = Refusal(503, "ServiceUnavailable", "later")
        bed.server.requests.clear()
        changing = asyncio.ensure_future(update.apply())
        await bed.server.until(lambda: bed.server.requests.count(("create", "statefulsets", "")) > 1)
        bed.server.refuse.clear()
        await changing
        (template,) = bed.get("statefulsets")["spec"]["volumeClaimTemplates"]
        assert template["spec"]["resources"]["requests"]["storage"] == "2Gi"

    on(tmp_path, scenario, **CLAIMED)


def test_a_deletion_whose_answer_is_lost_is_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perseverance, "POLL", 0.01)

    async def scenario(bed: Bed) -> None:
        server, drop = bed.server, bed.server.drop

        def drop_and_cut(*what: str) -> Any:
            dropped = drop(*what)
            if what[0] == "statefulsets":
                server.cut()
            return dropped

        monkeypatch.setattr(server, "drop", drop_and_cut)
        await done(bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"}))
        assert size_of_claims(bed) == "2Gi"

    on(tmp_path, scenario, **CLAIMED)


def test_a_start_that_makes_the_former_workload_again_does_not_undo_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(bed: Bed) -> None:
        server, drop = bed.server, bed.server.drop
        former = dict(Fleet.of(bed.node).workload)

        def drop_and_start(*what: str) -> Any:
            dropped = drop(*what)
            if what[0] == "statefulsets" and former:
                server.put("statefulsets", dict(former))
                former.clear()
            return dropped

        monkeypatch.setattr(server, "drop", drop_and_start)
        await done(bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi", "env.A": "b"}))
        assert not former
        assert size_of_claims(bed) == "2Gi"
        (container,) = bed.get("statefulsets")["spec"]["template"]["spec"]["containers"]
        assert {"name": "A", "value": "b"} in container["env"]

    on(tmp_path, scenario, **CLAIMED)


def test_a_former_workload_that_does_not_go_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "GOING", 0.05)

    async def scenario(bed: Bed) -> None:
        def held(plural: str, name: str, namespace: str = "default") -> Any:
            item = copy.deepcopy(bed.server.objects[plural, namespace, name])
            item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            bed.server.put(plural, item, namespace)
            return item

        monkeypatch.setattr(bed.server, "drop", held)
        with pytest.raises(NotReadyError, match="StatefulSet b0 in namespace default is being deleted"):
            await done(bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"}))

    on(tmp_path, scenario, **CLAIMED)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(403, "Forbidden", "no"), "does not grow"),
        (Refusal(422, "Invalid", "no"), "does not grow"),
        (Refusal(429, "TooManyRequests", "later"), "later"),
    ],
)
def test_only_a_claim_that_cannot_grow_is_said_to(tmp_path: Path, refusal: Refusal, words: str) -> None:
    async def scenario(bed: Bed) -> None:
        bed.server.refuse["patch", "persistentvolumeclaims"] = refusal
        with pytest.raises(BuildwrightError, match=words) as caught:
            await bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"}).plan()
        assert isinstance(caught.value, DriverOptionError) == (words == "does not grow")

    on(tmp_path, scenario, **CLAIMED)


def size_of_claims(bed: Bed) -> Any:
    (template,) = bed.get("statefulsets")["spec"]["volumeClaimTemplates"]
    return template["spec"]["resources"]["requests"]["storage"]


def test_volumes_that_do_not_follow_their_claims_are_told(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        update, sink = bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"}), Sink()
        await update.plan()
        await update.apply()
        for number, size in ((0, "1Gi"), (1, "2Gi")):
            claim = bed.get("persistentvolumeclaims", f"buildkitd-b0-{number}")
            bed.server.put("persistentvolumeclaims", {**claim, "status": {"capacity": {"storage": size}}})
        await update.follow(sink)
        assert sink.vertexes[-1].startswith("[internal] still as large as before: buildkitd-b0-0; what")

    on(tmp_path, scenario, **CLAIMED)


def test_a_builder_whose_claims_grow_belongs_to_whom_it_did_also_when_that_is_not_here(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        owners = [{"apiVersion": "v1", "kind": "Pod", "name": "ci-1", "uid": "u1"}]
        workload = bed.get("statefulsets")
        bed.server.put("statefulsets", {**workload, "metadata": {**workload["metadata"], "ownerReferences": owners}})
        opts = {**bed.node.driver_opts, "owner": "pod/ci-1"}
        bed.node = replace(bed.node, driver_opts=opts)
        await done(bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"}))
        made = bed.get("statefulsets")["metadata"]
        assert made["uid"] != workload["metadata"]["uid"]
        assert made["ownerReferences"] == owners

    on(tmp_path, scenario, **CLAIMED)


def test_an_object_that_comes_and_goes_is_told(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        update = bed.changed({"buildkitd.toml": b"debug = true\n"})
        await update.plan()
        bed.server.refuse["create", "configmaps"] = Refusal(409, "AlreadyExists", "already exists")
        with pytest.raises(ClusterError, match="ConfigMap b0-config is made and removed by somebody else"):
            await update.apply()

    on(tmp_path, scenario)


def test_claims_that_do_not_grow_are_refused_and_nothing_touched(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        message = "the storageclass must support resize"
        bed.server.refuse["patch", "persistentvolumeclaims"] = Refusal(403, "Forbidden", message)
        before = dict(bed.server.objects)
        with pytest.raises(DriverOptionError, match=rf"buildkitd-b0-0 does not grow .*{message}"):
            await bed.changed(**{"persistent-volume-claim.requests.storage": "2Gi"}).plan()
        assert bed.server.objects == before

    on(tmp_path, scenario, **CLAIMED)


def test_a_missing_right_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        message = 'deployments.apps "b0" is forbidden: User "u" cannot update resource "deployments"'
        bed.server.refuse["update", "deployments"] = Refusal(403, "Forbidden", message)
        before = dict(bed.server.objects)
        with pytest.raises(ClusterError, match="cannot update"):
            await bed.changed({"buildkitd.toml": b"debug = false\n"}).plan()
        assert bed.server.objects == before

    on(tmp_path, scenario, {"buildkitd.toml": b"debug = true\n"})


def test_a_change_by_another_meanwhile_is_no_failure(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        update = bed.changed(image="i:2")
        await update.plan()
        annotated = bed.get("deployments")
        bed.server.put(
            "deployments", {**annotated, "metadata": {**annotated["metadata"], "annotations": {"used": "now"}}}
        )
        await update.apply()
        assert bed.get("deployments")["metadata"]["annotations"]["used"] == "now"
        assert bed.get("deployments")["spec"]["template"]["spec"]["containers"][0]["image"] == "i:2"

    on(tmp_path, scenario)


@pytest.mark.parametrize("kind", ["deployments", "configmaps", "poddisruptionbudgets"])
def test_a_change_by_another_while_it_is_planned_makes_a_new_plan(tmp_path: Path, kind: str) -> None:
    class Once(dict[tuple[str, str], Refusal]):
        def get(self, key: tuple[str, str], default: Any = None) -> Any:
            return self.pop(key, default)

    async def scenario(bed: Bed) -> None:
        changes: dict[str, Any] = {"files": {"buildkitd.toml": b"debug = false\n"}, "image": "i:2", "replicas": "2"}
        told = await bed.changed(**changes).plan()
        refusals = Once({("update", kind): Refusal(409, "Conflict", "the object has been modified")})
        bed.server.refuse = refusals
        assert await done(bed.changed(**changes)) == told
        assert not refusals

    on(tmp_path, scenario, {"buildkitd.toml": b"debug = true\n"})


def test_new_pods_that_cannot_be_ready_end_it_with_what_still_works(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        def surge(workload: Any) -> None:
            fresh = pod("b0-new", workload["spec"]["template"], ready=False)
            waiting = {"reason": "InvalidImageName", "message": "no such form"}
            fresh["status"]["phase"] = "Pending"
            fresh["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}
            bed.server.put("pods", fresh)
            bed.server.put("deployments", {**workload, "status": {**workload["status"], "updatedReplicas": 0}})

        bed.server.controller = surge
        update = bed.changed(image="i:2")
        await update.plan()
        await update.apply()
        with pytest.raises(
            NotReadyError, match=r"cannot become ready: pod b0-new .*; 2 of its former pods can still"
        ):
            await update.follow(Sink())
        assert Pod.read(bed.get("pods", "b0-0")).ready

    on(tmp_path, scenario, replicas="2")


def test_builds_in_former_pods_are_told_and_not_waited_for(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        def surge(workload: Any) -> None:
            former = bed.get("pods", "b0-0")
            former["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 605}
            former["spec"]["containers"][0]["lifecycle"] = {"preStop": {"exec": {"command": ["wait"]}}}
            bed.server.put("pods", former)
            bed.server.put("pods", pod("b0-new", workload["spec"]["template"]))
            bed.server.put("deployments", {**workload, "status": {**workload["status"], "updatedReplicas": 1}})

        def lag(workload: Any) -> None:
            bed.server.put("deployments", {**workload, "status": {**workload["status"], "updatedReplicas": 0}})

        bed.server.controller = lag
        update = bed.changed(image="i:2")
        await update.plan()
        await update.apply()
        sink = Sink()
        bed.server.requests.clear()
        async with asyncio.timeout(20):
            following = asyncio.ensure_future(update.follow(sink))
            await bed.server.called("watch", "deployments")
            surge(bed.get("deployments"))
            await following
        assert (
            "1 former pod takes no new builds"
            in b"".join(log.data for shown in sink.updates for log in shown.logs).decode()
        )

    on(tmp_path, scenario)


def test_a_pod_too_many_with_a_volume_is_not_waited_for(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        def shrink(workload: Any) -> None:
            former = bed.get("pods", "b0-1")
            former["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 605}
            former["spec"]["containers"][0]["lifecycle"] = {"preStop": {"exec": {"command": ["wait"]}}}
            bed.server.put("pods", former)

        bed.server.controller = shrink
        update = bed.changed(replicas="1")
        await update.plan()
        await update.apply()
        assert bed.get("statefulsets")["status"]["replicas"] == 2
        sink = Sink()
        async with asyncio.timeout(20):
            await update.follow(sink)
        said = b"".join(log.data for shown in sink.updates for log in shown.logs).decode()
        assert "1 former pod takes no new builds" in said

    on(tmp_path, scenario, **CLAIMED)


def test_one_more_pod_that_cannot_be_ready_says_nothing_of_former_ones(tmp_path: Path) -> None:
    async def scenario(bed: Bed) -> None:
        def grow(workload: Any) -> None:
            more = pod("b0-more", workload["spec"]["template"], ready=False)
            waiting = {"reason": "InvalidImageName", "message": "no such form"}
            more["status"]["phase"] = "Pending"
            more["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}
            bed.server.put("pods", more)

        bed.server.controller = grow
        update = bed.changed(replicas="3")
        await update.plan()
        await update.apply()
        with pytest.raises(NotReadyError, match=r"cannot become ready: pod b0-more ") as failed:
            await update.follow(Sink())
        assert "former pods" not in str(failed.value)

    on(tmp_path, scenario, replicas="2")
