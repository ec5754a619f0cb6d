"""From the outputs a user asked for to exporters and the places on this side that receive their results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from buildwright.build.specs import is_true
from buildwright.drivers.driver import Traits
from buildwright.errors import OutputError, UsageError
from buildwright.model.reference import check_reference
from buildwright.model.request import BuildRequest, Output

if TYPE_CHECKING:
    from buildwright.model.solve import Exporter

_IMAGE_TYPES = ("image", "oci", "docker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """What takes exporter number `index`'s data here: a folder (`delete`: emptied of what is not in the result),
    or a file, "-" being stdout."""

    index: int
    dest: str
    folder: bool
    delete: bool = False


def resolve_outputs(request: BuildRequest, traits: Traits) -> tuple[Output, ...]:
    """Apply `--push`, the driver's default and the tags; pure. Raises UsageError for what cannot work."""
    outputs = tuple(_registry_as_image(output) for output in request.outputs)
    if request.push:
        outputs = _with_push(outputs)
    if request.annotations:
        outputs = _annotated(outputs, request.annotations)
    if not outputs and traits.default_load:
        outputs = (Output(type="docker"),)
    for tag in request.tags:
        check_reference(tag)
    outputs = tuple(_named(output, request.tags) for output in outputs)
    for output in outputs:
        if output.type == "docker" and output.dest is None:
            raise UsageError(
                "loading into a docker engine is not available in this version: "
                "write the image to a file with -o type=docker,dest=FILE and run docker load -i FILE"
            )
        if output.type == "image" and is_true(output.attrs.get("push", "")) and not output.attrs.get("name"):
            raise UsageError("tag is needed when pushing to registry: add -t REGISTRY/NAME:TAG")
        if output.type == "docker" and len(request.platforms) > 1:
            raise UsageError(
                "docker exporter does not support exporting manifest lists, use the oci exporter instead"
            )
    return tuple(output for output in outputs if output.type != "cacheonly")


def exporters(outputs: Iterable[Output]) -> tuple[Exporter, ...]:
    from buildwright.model.solve import Exporter

    return tuple(Exporter(type=output.type, attrs=output.attrs) for output in outputs)


def receivers(outputs: Iterable[Output], *, stdout_is_terminal: bool) -> tuple[Receiver, ...]:
    """The receivers of the outputs that end on this side, checked against the file system as it is now.

    Raises UsageError for a destination of the wrong kind, OutputError for one that cannot be looked at.
    """
    found: list[Receiver] = []
    for index, output in enumerate(outputs):
        if output.type == "local" or _is_layout(output):
            found.append(_folder(index, output))
        elif output.type in ("tar", "oci", "docker"):
            found.append(_file(index, output, stdout_is_terminal))
    if sum(receiver.dest == "-" for receiver in found) > 1:
        raise UsageError("multiple outputs configured to write to stdout: give all but one a dest")
    return tuple(found)


def _is_layout(output: Output) -> bool:
    return output.type in ("oci", "docker") and not is_true(output.attrs.get("tar", ""), default=True)


def _registry_as_image(output: Output) -> Output:
    if output.type != "registry":
        return output
    return replace(output, type="image", attrs={"unpack": "false", **output.attrs, "push": "true"})


def _with_push(outputs: tuple[Output, ...]) -> tuple[Output, ...]:
    pushed = tuple(
        replace(output, attrs={"unpack": "false", **output.attrs, "push": "true"})
        if output.type == "image"
        else output
        for output in outputs
    )
    if any(output.type == "image" for output in outputs):
        return pushed
    return (*outputs, Output(type="image", attrs={"push": "true", "unpack": "false"}))


def _annotated(outputs: tuple[Output, ...], annotations: Mapping[str, str]) -> tuple[Output, ...]:
    from buildwright.model.annotation import parse

    found = [annotation for places, value in annotations.items() for annotation in parse(places, value)]
    attrs = {annotation.attribute: annotation.value for annotation in found}
    return tuple(replace(output, attrs={**output.attrs, **attrs}) for output in outputs)


def _named(output: Output, tags: tuple[str, ...]) -> Output:
    if not tags or output.type not in _IMAGE_TYPES:
        return output
    return replace(output, attrs={**output.attrs, "name": ",".join(tags)})


def _folder(index: int, output: Output) -> Receiver:
    dest = output.dest
    if _is_layout(output):
        raise UsageError(f"{output.type} layouts as a folder (tar=false) are not available in this version")
    if not dest:
        raise UsageError(f"dest is required for {output.type} exporter")
    if dest == "-":
        raise UsageError(f"dest cannot be stdout for {output.type} exporter")
    if _exists(dest) and not os.path.isdir(dest):
        raise UsageError(f"destination directory {dest} is a file")
    delete = output.attrs.get("mode") == "delete"
    if delete and not _strictly_below(dest, os.getcwd()):
        raise UsageError(f"mode=delete empties {dest}, which is not below the working directory: choose one that is")
    return Receiver(index=index, dest=dest, folder=True, delete=delete)


def _file(index: int, output: Output, stdout_is_terminal: bool) -> Receiver:
    dest = output.dest or "-"
    if dest == "-" and stdout_is_terminal:
        raise UsageError(f"dest file is required for {output.type} exporter. refusing to write to console")
    if dest != "-" and _exists(dest) and os.path.isdir(dest):
        raise UsageError(f"destination file {dest} is a directory")
    return Receiver(index=index, dest=dest, folder=False)


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"invalid destination {path}: {error.strerror}") from error
    return True


def _strictly_below(path: str, top: str) -> bool:
    path, top = os.path.realpath(path), os.path.realpath(top)
    return path != top and os.path.commonpath([path, top]) == top


def opened(stdout: Callable[[], BinaryIO]) -> BinaryIO:
    """stdout as bytes; OutputError when it takes none."""
    try:
        return stdout()
    except (AttributeError, ValueError) as error:
        raise OutputError(
            "cannot write to stdout: it is closed or takes text only; give the output a dest"
        ) from error
