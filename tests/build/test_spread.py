"""Several nodes are told to push by digest, and nothing that they cannot make together."""

from __future__ import annotations

import pytest

from buildwright.build.outputs import resolve_outputs
from buildwright.build.spread import of_platforms, spread
from buildwright.drivers.driver import Traits
from buildwright.errors import UsageError
from buildwright.model.annotation import Annotation, Kind
from buildwright.model.platform import Platform
from buildwright.model.request import BuildRequest, Output

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def pushed(name: str, **attrs: str) -> Output:
    return Output(type="image", attrs={"push": "true", "name": name, **attrs})


def test_a_push_is_by_digest_under_the_repositories_names() -> None:
    outputs, push = spread((pushed("reg.io/a:1,reg.io/a:2,app"),))
    assert outputs[0].attrs == {"push": "true", "name": "reg.io/a,docker.io/library/app", "push-by-digest": "true"}
    assert push is not None
    assert list(map(str, push.names)) == ["reg.io/a:1", "reg.io/a:2", "docker.io/library/app:latest"]
    assert (push.title, push.by_digest, push.insecure) == ("reg.io/a:1,reg.io/a:2,app", False, False)


def test_a_push_that_is_by_digest_anyway_gets_no_tag() -> None:
    _, push = spread((pushed("reg.io/a", **{"push-by-digest": "true", "registry.insecure": "true"}),))
    assert push is not None
    assert (list(map(str, push.names)), push.by_digest, push.insecure) == (["reg.io/a"], True, True)


def test_what_is_not_pushed_stays_as_it_is() -> None:
    outputs = (Output(type="image", attrs={"name": "a"}), Output(type="local", dest="out"))
    assert spread(outputs) == (outputs, None)


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ((Output(type="oci", dest="a.tar"),), "oci for multi-node builds currently not supported"),
        ((Output(type="tar", dest="a.tar"),), "tar for multi-node builds currently not supported"),
        ((Output(type="docker", dest="a.tar"),), "docker for multi-node builds currently not supported"),
        ((Output(type="local", dest="out", attrs={"mode": "delete"}),), "each of which would delete"),
        ((Output(type="local", dest="out", attrs={"platform-split": "false"}),), "write over each other"),
        ((pushed("reg.io/a"), pushed("reg.io/b")), "several pushed images"),
    ],
)
def test_what_nodes_cannot_make_together_is_refused_with_advice(outputs: tuple[Output, ...], why: str) -> None:
    with pytest.raises(UsageError, match=rf"{why}.*build one --platform at a time"):
        spread(outputs)


def test_annotations_reach_every_output_and_the_merge() -> None:
    request = BuildRequest(
        context=".",
        push=True,
        tags=("reg.io/a",),
        annotations={"plain": "1", "index,manifest-descriptor[linux/arm64]:k": "2", "manifest[linux/amd64]:m": "3"},
    )
    outputs, push = spread(resolve_outputs(request, Traits()))
    assert {name: value for name, value in outputs[0].attrs.items() if name.startswith("annotation")} == {
        "annotation.plain": "1",
        "annotation-index.k": "2",
        "annotation-manifest-descriptor[linux/arm64].k": "2",
        "annotation-manifest[linux/amd64].m": "3",
    }
    assert push is not None
    assert push.annotations == (
        Annotation(key="k", value="2", kind=Kind.INDEX),
        Annotation(key="k", value="2", kind=Kind.MANIFEST_DESCRIPTOR, platform=ARM64),
    )


def test_a_node_with_several_platforms_gets_no_annotations_for_those_of_others() -> None:
    attrs = {
        "annotation.all": "1",
        "annotation-manifest[linux/arm64].k": "2",
        "annotation-manifest[linux/amd64].k": "3",
    }
    (output,) = of_platforms((Output(type="image", attrs=attrs),), (AMD64, Platform("linux", "386")))
    assert output.attrs == {"annotation.all": "1", "annotation-manifest[linux/amd64].k": "3"}


def test_an_annotation_that_is_left_out_makes_media_types_as_where_it_stays() -> None:
    output = Output(type="image", attrs={"annotation-manifest-descriptor[linux/arm64].k": "1"})
    assert of_platforms((output,), (AMD64,)) == (output,)
    assert of_platforms((output,), (AMD64, Platform("linux", "386")))[0].attrs == {"oci-mediatypes": "true"}


def test_an_unknown_place_of_an_annotation_is_refused() -> None:
    with pytest.raises(UsageError, match='unknown annotation type "layer": choose one of manifest'):
        resolve_outputs(BuildRequest(context=".", push=True, tags=("a",), annotations={"layer:k": "v"}), Traits())
    with pytest.raises(UsageError, match='invalid annotation type "Index"'):
        resolve_outputs(BuildRequest(context=".", push=True, tags=("a",), annotations={"Index:k": "v"}), Traits())
