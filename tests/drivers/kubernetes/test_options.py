"""Driver options are read into one value, and refused by name when they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.drivers.kubernetes.options import IMAGE, ROOTLESS_IMAGE, LoadBalance, Options, parse
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
            "limits.ephemeral-storage": "1e9",
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
        limits={"cpu": "2", "memory": "4Gi", "ephemeral-storage": "1e9"},
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
        ("replicas", "3000000000"),
        ("timeout", "2"),
        ("requests.cpu", "lots"),
        ("requests.memory", "-1Gi"),
        ("limits.memory", "4GB"),
        ("limits.ephemeral-storage", ""),
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
        ("tolerations", "key=a,colour=red"),
        ("tolerations", "key=a,effect=Never"),
        ("tolerations", "key=a,operator=In"),
        ("tolerations", "value=v"),
        ("tolerations", "key=a,effect=NoExecute,tolerationSeconds=soon"),
        ("tolerations", "key=a,tolerationSeconds=5"),
        ("serviceaccount", "Big"),
        ("env.", "x"),
    ],
)
def test_a_wrong_value_is_refused_with_its_option(option: str, value: str) -> None:
    with pytest.raises(DriverOptionError) as caught:
        parse({option: value})
    assert caught.value.option == option
    assert option in str(caught.value)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(DriverOptionError, match=r'unknown driver option "replica".*did you mean "replicas"'):
        parse({"replica": "2"})
    with pytest.raises(DriverOptionError, match=r"requests\.memory"):
        parse({"request.memory": "2Gi"})


def test_an_option_of_later_versions_is_named() -> None:
    with pytest.raises(DriverOptionError, match="not available in this version"):
        parse({"persistent-volume-claim.requests.storage": "10Gi"})


@given(
    st.dictionaries(st.sampled_from(["nodeselector", "tolerations", "labels", "timeout", "limits.cpu"]), st.text())
)
def test_any_text_is_read_or_refused_as_an_option(texts: dict[str, str]) -> None:
    try:
        parse(texts)
    except DriverOptionError as error:
        refused = error.option
    else:
        refused = None
    assert refused is None or refused in texts
