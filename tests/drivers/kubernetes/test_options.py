"""Driver options are read into one value, and refused by name when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.drivers.kubernetes.options import (
    IMAGE,
    ROOTLESS_IMAGE,
    LoadBalance,
    Options,
    parse,
    removable,
    settled,
)
from buildwright.errors import DriverOptionError


def test_without_options_the_defaults_are_buildx_s() -> None:
    assert parse({}) == Options()
    assert Options().image == IMAGE == "moby/buildkit:buildx-stable-1"
    assert (Options().replicas, Options().timeout, Options().load_balance) == (1, 120, LoadBalance.STICKY)


def test_every_option_is_read() -> None:
    options = parse(
        {
            "image": "reg/buildkit:1",
            "namespace": "ci",
            "replicas": "3",
            "timeout": "2m30s",
            "requests.cpu": "500m",
            "requests.memory": "1Gi",
            "requests.ephemeral-storage": "1.5G",
            "limits.cpu": "2",
            "limits.memory": "4Gi",
            "limits.ephemeral-storage": "2e9",
            "nodeselector": "kubernetes.io/arch=arm64,pool=ci",
            "annotations": "example.com/a=b",
            "labels": "team=x",
            "tolerations": "key=k,operator=Exists,effect=NoExecute,tolerationSeconds=60;key=l,value=v",
            "serviceaccount": "builder",
            "schedulername": "fast",
            "rootless": "true",
            "loadbalance": "random",
            "default-load": "1",
            "buildkit-root-volume-memory": "2Gi",
            "qemu.install": "t",
            "qemu.image": "reg/binfmt:1",
            "env.HTTP_PROXY": "http://proxy:3128",
        }
    )
    assert options == Options(
        image="reg/buildkit:1",
        namespace="ci",
        replicas=3,
        timeout=150,
        requests={"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1.5G"},
        limits={"cpu": "2", "memory": "4Gi", "ephemeral-storage": "2e9"},
        node_selector={"kubernetes.io/arch": "arm64", "pool": "ci"},
        annotations={"example.com/a": "b"},
        labels={"team": "x"},
        tolerations=(
            {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
            {"key": "l", "value": "v"},
        ),
        service_account="builder",
        scheduler="fast",
        rootless=True,
        load_balance=LoadBalance.RANDOM,
        default_load=True,
        root_volume_memory="2Gi",
        qemu=True,
        qemu_image="reg/binfmt:1",
        env={"HTTP_PROXY": "http://proxy:3128"},
    )


@pytest.mark.parametrize(
    ("given_", "image"),
    [
        ({"rootless": "true"}, ROOTLESS_IMAGE),
        ({"rootless": "false"}, IMAGE),
        ({"rootless": "true", "image": "x"}, "x"),
        ({"image": ""}, IMAGE),
    ],
)
def test_the_rootless_image_is_for_rootless_builders_only(given_: dict[str, str], image: str) -> None:
    assert parse(given_).image == image


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("replicas", "0"),
        ("replicas", "two"),
        ("replicas", "1000000"),
        ("image", "Foo:::bar"),
        ("qemu.image", "Foo"),
        ("env.A B", "x"),
        ("limits.memory", "500m"),
        ("requests.ephemeral-storage", "500m"),
        ("limits.ephemeral-storage", "2"),
        ("replicas", "3000000000"),
        ("timeout", "2"),
        ("timeout", "9999999999h"),
        ("schedulername", "a b"),
        ("requests.cpu", "lots"),
        ("requests.memory", "-1Gi"),
        ("limits.memory", "4GB"),
        ("buildkit-root-volume-memory", "2 Gi"),
        ("rootless", "yes"),
        ("qemu.install", ""),
        ("default-load", "maybe"),
        ("loadbalance", "fair"),
        ("namespace", "Not_A_Namespace"),
        ("nodeselector", "pool"),
        ("nodeselector", "pool=a b"),
        ("labels", "app=x"),
        ("labels", "-x=y"),
        ("annotations", "buildx.docker.com/platform=linux/amd64"),
        ("tolerations", "key"),
        ("tolerations", ""),
        ("tolerations", ","),
        ("tolerations", "key=k;"),
        ("tolerations", "key=a,colour=red"),
        ("tolerations", "key=a,effect=Never"),
        ("tolerations", "key=a,operator=In"),
        ("tolerations", "value=v"),
        ("tolerations", "key=a,effect=NoExecute,tolerationSeconds=soon"),
        ("tolerations", "key=a,tolerationSeconds=5"),
        ("serviceaccount", "Big"),
        ("env.", "x"),
        ("nodeselector", "a..b/pool=x"),
        ("namespace", "a" * 64),
        ("persistent-volume-claim.requests.storage", "ten"),
        ("persistent-volume-claim.requests.storage", "0"),
        ("persistent-volume-claim.storageclass", "Fast"),
        ("persistent-volume-claim.accessmode", "ReadOnlyMany"),
        ("imagepullsecrets", "one,,two"),
        ("priorityclass", "so high"),
        ("affinity", "{"),
        ("affinity", "[]"),
        ("affinity", '{"nodeAfinity": {}}'),
        ("affinity", "@file.json"),
        ("topologyspread", "{}"),
        ("topologyspread", '[{"maxSkew": "1"}]'),
        ("podtemplate", "[]"),
        ("podtemplate", '{"kind": "Pod"}'),
        ("podtemplate", '{"metadata": {"name": "x"}}'),
    ],
)
def test_a_wrong_value_is_refused_with_its_option(option: str, value: str) -> None:
    with pytest.raises(DriverOptionError) as caught:
        parse({option: value})
    assert caught.value.option == option
    assert option in str(caught.value)


@pytest.mark.parametrize("text", ["key=k,value=v,", "key=k,,value=v", ",key=k,value=v"])
def test_a_toleration_has_no_empty_parts(text: str) -> None:
    assert parse({"tolerations": text}).tolerations == ({"key": "k", "value": "v"},)


@pytest.mark.parametrize(("value", "words"), [("99999999999", "at most 1000"), ("0", "at least 1")])
def test_the_bound_that_a_number_exceeds_is_named(value: str, words: str) -> None:
    with pytest.raises(DriverOptionError, match=words):
        parse({"replicas": value})


@pytest.mark.parametrize("value", ['["hunter2"]', '"hunter2', '{"kind": "hunter2"}'])
def test_a_pod_template_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(DriverOptionError, match=r'podtemplate="\(not shown\)" is malformed') as caught:
        parse({"podtemplate": value})
    assert "hunter2" not in str(caught.value)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(DriverOptionError, match=r'unknown driver option "replica".*did you mean "replicas"'):
        parse({"replica": "2"})
    with pytest.raises(DriverOptionError, match=r"requests\.memory"):
        parse({"request.memory": "2Gi"})


def test_options_of_placement_and_state_are_read() -> None:
    options = parse(
        {
            "persistent-volume-claim.requests.storage": "10Gi",
            "persistent-volume-claim.storageclass": "fast",
            "persistent-volume-claim.accessmode": "ReadWriteMany",
            "imagepullsecrets": "one,two",
            "priorityclass": "high",
            "affinity": '{"nodeAffinity": {}}',
            "topologyspread": '[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]',
            "podtemplate": '{"spec": {"hostNetwork": true}}',
            "loadbalance": "affinity",
        }
    )
    assert options == Options(
        claim="10Gi",
        storage_class="fast",
        access_mode="ReadWriteMany",
        pull_secrets=("one", "two"),
        priority_class="high",
        affinity={"nodeAffinity": {}},
        spread=({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},),
        pod_template={"spec": {"hostNetwork": True}},
        load_balance=LoadBalance.AFFINITY,
    )


def test_a_file_is_read_once_when_the_builder_is_created(tmp_path: Path) -> None:
    path = tmp_path / "affinity.json"
    path.write_text('{\n  "nodeAffinity": {}\n}\n')
    kept = settled({"affinity": f"@{path}", "image": "@x"})
    assert kept == {"affinity": '{"nodeAffinity":{}}', "image": "@x"}
    path.write_text("{")
    for name in (path, tmp_path / "gone"):
        with pytest.raises(DriverOptionError, match=r"driver option affinity=.*the file") as caught:
            settled({"affinity": f"@{name}"})
        assert caught.value.option == "affinity"


@pytest.mark.parametrize(
    ("texts", "option"),
    [
        ({"requests.cpu": "2", "limits.cpu": "1500m"}, "requests.cpu"),
        ({"requests.memory": "1Gi", "limits.memory": "1G"}, "requests.memory"),
        ({"persistent-volume-claim.storageclass": "fast"}, "persistent-volume-claim.storageclass"),
        ({"labels": "app=mine"}, "labels"),
        ({"managed": "false"}, "managed"),
        ({"persistent-volume-claim.accessmode": "ReadWriteMany"}, "persistent-volume-claim.accessmode"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(texts: dict[str, str], option: str) -> None:
    with pytest.raises(DriverOptionError) as caught:
        parse(texts)
    assert caught.value.option == option


def test_pods_of_others_are_found_by_any_label() -> None:
    assert parse({"managed": "false", "labels": "app=buildkitd"}).labels == {"app": "buildkitd"}


ANY_TEXT = (
    "nodeselector",
    "tolerations",
    "labels",
    "timeout",
    "limits.cpu",
    "affinity",
    "topologyspread",
    "podtemplate",
)


@given(st.dictionaries(st.sampled_from(ANY_TEXT), st.text()))
def test_any_text_is_read_or_refused_as_an_option(texts: dict[str, str]) -> None:
    try:
        parse(texts)
    except DriverOptionError as error:
        refused = error.option
    else:
        refused = None
    assert refused is None or refused in texts


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("requests.memory", "0"),
        ("requests.memory", "1Ki"),
        ("requests.cpu", ""),
        ("limits.memory", ""),
        ("requests.ephemeral-storage", "1"),
        ("buildkit-root-volume-memory", "1Mi"),
    ],
)
def test_what_runs_with_buildx_is_taken(option: str, value: str) -> None:
    parse({option: value})


def test_what_is_to_be_removed_may_have_faults_that_do_not_say_where_it_is() -> None:
    texts = {"namespace": "ci", "tolerations": "key", "limits.memory": "1m", "replicas": "2", "nonsense": ""}
    assert removable(texts) == {"namespace": "ci", "replicas": "2"}
    for option, value in (("namespace", "C I"), ("persistent-volume-claim.requests.storage", "much")):
        with pytest.raises(DriverOptionError, match=option):
            removable({**texts, option: value})


def test_a_value_whose_commas_were_not_quoted_is_guessed() -> None:
    with pytest.raises(DriverOptionError, match=r"""'"tolerations=\.\.\.,value=\.\.\."'"""):
        parse({"tolerations": "key=k", "value": "v"})


@pytest.mark.parametrize(
    ("texts", "said", "unsaid"),
    [
        ({"labels": "a=b", "namespce": "x"}, ('did you mean "namespace"?', "quote that pair"), ()),
        ({"replcas": "2", "labels": "a=b"}, ('did you mean "replicas"?',), ("quote",)),
        ({"labels": "a=b", "image": "i", "effort": "x"}, ("it has ",), ("quote",)),
    ],
)
def test_a_comma_is_blamed_only_right_behind_a_list(
    texts: dict[str, str], said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    with pytest.raises(DriverOptionError) as caught:
        parse(texts)
    assert all(words in str(caught.value) for words in said)
    assert not any(words in str(caught.value) for words in unsaid)
