"""What several nodes are told to do with their shares of one result; pure.

A node pushes its share by digest, under the repositories' names, and the tags are given when all shares are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from buildwright.build.specs import is_true
from buildwright.errors import UsageError
from buildwright.model.annotation import Annotation, Kind, from_attribute
from buildwright.model.platform import Platform
from buildwright.model.request import Output
from buildwright.registry.reference import Reference

_ADVICE = "build one --platform at a time, or use a builder with one node"
_AT_MERGE = (Kind.INDEX, Kind.MANIFEST_DESCRIPTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What is pushed when every node has pushed its share: an index under all of `names`, of which untagged ones get
    no tag when `by_digest`. `title` is what the user wrote for them."""

    title: str
    names: tuple[Reference, ...]
    by_digest: bool = False
    insecure: bool = False
    annotations: tuple[Annotation, ...] = ()


def spread(outputs: Sequence[Output]) -> tuple[tuple[Output, ...], Push | None]:
    """What each node is to do instead of `outputs`, and what is pushed in the end, if anything.

    Raises UsageError for outputs that several nodes cannot make together.
    """
    pushed = [output for output in outputs if output.type == "image" and is_true(output.attrs.get("push", ""))]
    if len(pushed) > 1:
        raise UsageError(
            f"several pushed images are not possible for a build on several nodes: push one of them, or {_ADVICE}"
        )
    for output in outputs:
        _check(output)
    if not pushed:
        return tuple(outputs), None
    push = _push(pushed[0], outputs)
    names = ",".join(dict.fromkeys(name.name for name in push.names))
    by_digest = replace(pushed[0], attrs={**pushed[0].attrs, "name": names, "push-by-digest": "true"})
    return tuple(by_digest if output is pushed[0] else output for output in outputs), push


def of_platforms(outputs: Sequence[Output], platforms: Sequence[Platform]) -> tuple[Output, ...]:
    """`outputs` for a node that builds `platforms`: one with several calls annotations for others an error."""
    return tuple(outputs) if len(platforms) < 2 else tuple(_without_foreign(output, platforms) for output in outputs)


def _without_foreign(output: Output, platforms: Sequence[Platform]) -> Output:
    attrs: dict[str, str] = {}
    oci = False
    for name, value in output.attrs.items():
        annotation = from_attribute(name, value)
        if annotation is None or annotation.platform is None or annotation.platform in platforms:
            attrs[name] = value
        elif annotation.kind is Kind.MANIFEST_DESCRIPTOR:
            # Where it goes, it makes the media types OCI's, and all of one image should have the same.
            oci = True
    return replace(output, attrs={**attrs, "oci-mediatypes": "true"} if oci else attrs)


def _check(output: Output) -> None:
    if output.type in ("oci", "tar", "docker"):
        raise UsageError(f"{output.type} for multi-node builds currently not supported: {_ADVICE}")
    if output.type != "local":
        return
    if output.attrs.get("mode") == "delete":
        raise UsageError(
            "mode=delete is not possible for a build on several nodes, each of which would delete what the others "
            f"wrote: empty {output.dest} yourself, or {_ADVICE}"
        )
    if not is_true(output.attrs.get("platform-split", ""), default=True):
        raise UsageError(
            "platform-split=false is not possible for a build on several nodes, which would write over each other's "
            f"files: leave it out, or {_ADVICE}"
        )


def _push(output: Output, outputs: Sequence[Output]) -> Push:
    title = output.attrs["name"]
    by_digest = is_true(output.attrs.get("push-by-digest", ""))
    names = [Reference.parse(name) for name in title.split(",")]
    return Push(
        title=title,
        names=tuple(dict.fromkeys(names if by_digest else (name.tagged() for name in names))),
        by_digest=by_digest,
        insecure=is_true(output.attrs.get("registry.insecure", "")),
        annotations=tuple(
            annotation
            for name, value in output.attrs.items()
            if (annotation := from_attribute(name, value)) is not None and annotation.kind in _AT_MERGE
        ),
    )
