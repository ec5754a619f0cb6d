"""`buildwright build`: from flags to a BuildRequest, and from its result to stdout, files and exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.errors import OutputError, UsageError
from buildwright.model.platform import Platform
from buildwright.model.request import BuildRequest

if TYPE_CHECKING:
    from buildwright.build.run import Host
    from buildwright.progress.display import Mode

_SOURCE, _IMAGE, _RESULT, _RUN = "Source", "Image", "Result", "Execution"

_FLAGS = (
    Flag(
        name="file",
        short="f",
        value="path",
        group=_SOURCE,
        help='Name of the Dockerfile (default: "PATH/Dockerfile")',
    ),
    Flag(name="target", value="stage", group=_SOURCE, help="Set the target build stage to build"),
    Flag(name="build-arg", kind=Kind.ARRAY, value="key[=value]", group=_SOURCE, help="Set build-time variables"),
    Flag(
        name="secret",
        kind=Kind.ARRAY,
        value="spec",
        group=_SOURCE,
        help='Secret to expose to the build (format: "id=mysecret[,src=/local/secret][,env=VAR]")',
    ),
    Flag(
        name="tag",
        short="t",
        kind=Kind.ARRAY,
        value="name",
        group=_IMAGE,
        help='Image identifier (format: "[registry/]repository[:tag]")',
    ),
    Flag(name="label", kind=Kind.ARRAY, value="key=value", group=_IMAGE, help="Set metadata for an image"),
    Flag(
        name="annotation",
        kind=Kind.ARRAY,
        value="key=value",
        group=_IMAGE,
        help='Add annotation to the image (format: "[type[platform],...:]key=value")',
    ),
    Flag(
        name="platform",
        kind=Kind.ARRAY,
        value="os/arch",
        env="DOCKER_DEFAULT_PLATFORM",
        group=_IMAGE,
        help="Set target platform for build; several are separated by commas",
    ),
    Flag(
        name="attest",
        kind=Kind.ARRAY,
        value="spec",
        group=_IMAGE,
        help='Attestation parameters (format: "type=sbom,generator=image")',
    ),
    Flag(name="provenance", value="spec", group=_IMAGE, help='Shorthand for "--attest=type=provenance"'),
    Flag(name="sbom", value="spec", group=_IMAGE, help='Shorthand for "--attest=type=sbom"'),
    Flag(
        name="output",
        short="o",
        kind=Kind.ARRAY,
        value="spec",
        group=_RESULT,
        help='Output destination: a folder, "-" for a tar on stdout, or type=local|tar|oci|docker|image|registry '
        'with its attributes (format: "type=local,dest=path")',
    ),
    Flag(name="push", kind=Kind.BOOL, group=_RESULT, help='Shorthand for "--output=type=registry,unpack=false"'),
    Flag(name="metadata-file", value="path", group=_RESULT, help="Write build result metadata to a file"),
    Flag(name="iidfile", value="path", group=_RESULT, help="Write the image ID to a file"),
    Flag(
        name="quiet",
        short="q",
        kind=Kind.BOOL,
        group=_RESULT,
        help="Suppress the build output and print image ID on success",
    ),
    Flag(name="no-cache", kind=Kind.BOOL, group=_RUN, help="Do not use cache when building the image"),
    Flag(name="pull", kind=Kind.BOOL, group=_RUN, help="Always attempt to pull all referenced images"),
    Flag(
        name="retries",
        kind=Kind.INT,
        value="number",
        default=1,
        group=_RUN,
        help="How often to begin again when a pod of the builder is lost (default: 1); never when the build fails",
    ),
    Flag(
        name="progress",
        value="type",
        default="auto",
        group=_RUN,
        help='Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty")',
    ),
)


def to_request(values: Values, environ: Mapping[str, str]) -> BuildRequest:
    """What the flags ask for; raises UsageError naming the flag's value that is wrong. Pure."""
    from buildwright.build.specs import parse_annotations, parse_attestations, parse_output, parse_pairs, parse_secret

    build_args = parse_pairs(values.strings("build-arg"), environ=environ)
    if epoch := environ.get("SOURCE_DATE_EPOCH"):
        build_args.setdefault("SOURCE_DATE_EPOCH", epoch)
    platforms = [name for item in values.strings("platform") for name in item.split(",")]
    request = BuildRequest(
        context=values.arg(),
        dockerfile=values.string("file") or None,
        tags=values.strings("tag"),
        target=values.string("target"),
        build_args=build_args,
        labels=parse_pairs(values.strings("label")),
        annotations=parse_annotations(values.strings("annotation")),
        platforms=tuple(dict.fromkeys(Platform.parse(name) for name in platforms)),
        no_cache=values.boolean("no-cache"),
        pull=values.boolean("pull"),
        push=values.boolean("push"),
        outputs=tuple(parse_output(text) for text in values.strings("output") if text),
        secrets=tuple(parse_secret(text, environ) for text in values.strings("secret")),
        attestations=parse_attestations(
            values.strings("attest"), provenance=values.string("provenance"), sbom=values.string("sbom")
        ),
        retries=values.number("retries"),
    )
    if request.retries < 0:
        raise UsageError(f"flag --retries: {request.retries} is less than 0: give 0 to never build again")
    if values.string("iidfile") and any(output.type in ("local", "tar") for output in request.outputs):
        raise UsageError("local and tar exporters are incompatible with image ID file")
    return request


def _mode(values: Values) -> Mode:
    from buildwright.progress.display import Mode

    text = values.string("progress")
    try:
        mode = Mode(text)
    except ValueError:
        raise UsageError(f'invalid progress mode "{text}": choose one of {", ".join(Mode)}') from None
    if not values.boolean("quiet"):
        return mode
    if mode not in (Mode.AUTO, Mode.QUIET):
        raise UsageError(f"progress={mode} and quiet cannot be used together")
    return Mode.QUIET


async def _run(values: Values, context: Context) -> int:
    from buildwright.build.connection import find_builder
    from buildwright.build.run import run
    from buildwright.progress.display import Mode, make

    request = to_request(values, context.environ)
    mode = _mode(values)
    image_id_file, metadata_file = values.string("iidfile"), values.string("metadata-file")
    _remove(image_id_file)
    builder = await find_builder(values.string("builder"), context.environ)
    display = make(
        mode,
        context.stderr,
        builder=builder.name,
        driver=builder.driver,
        environ=context.environ,
        debug=context.debug,
    )
    async with display:
        result = await run(request, builder, sink=display, host=_host(context))
    if result.kept_in_cache_only and not _flag(context.environ, "BUILDX_NO_DEFAULT_LOAD"):
        context.warn(
            f"No output specified with {builder.driver} driver. Build result will only remain in the build cache. "
            "To push result image into registry use --push, to write it to a file use -o type=docker,dest=FILE"
        )
    if display.mode in (Mode.QUIET, Mode.NONE):
        for sentence in result.losses:
            context.warn(sentence)
    if mode is Mode.QUIET:
        context.stdout.write(f"{result.image_id}\n")
    if image_id_file:
        _write(image_id_file, result.image_id)
    if metadata_file:
        from buildwright.build.metadata import dump

        _write(metadata_file, dump(result.metadata))
    return 0


def _host(context: Context) -> Host:
    from buildwright.build.run import Host
    from buildwright.builders.store import Store

    return Host(
        stdout=lambda: context.stdout.buffer,
        stdout_is_terminal=_is_terminal(context.stdout),
        environ=context.environ,
        node_id=Store(context.environ).node_id(),
    )


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def _flag(environ: Mapping[str, str], name: str) -> bool:
    from buildwright.build.specs import is_true

    return is_true(environ.get(name, ""))


def _remove(path: str) -> None:
    """Drop the file of an earlier build, so that a failed one leaves no stale ID behind."""
    try:
        if path:
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"removing image ID file {path}: {error.strerror}") from error


def _write(path: str, text: str) -> None:
    """Put `text` in the file in one step, so that nobody ever reads half of it."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.remove(temporary)
        raise OutputError(f"cannot write {path}: {error.strerror}: the build itself is done") from error


COMMAND = Command(
    name="build",
    usage="build [OPTIONS] PATH | URL | -",
    short="Start a build",
    long="Build an image, or files, from a Dockerfile. The context is a folder, a git or http address, or - for a\n"
    "Dockerfile or a tar archive on stdin.",
    flags=_FLAGS,
    aliases=("b",),
    min_args=1,
    max_args=1,
    examples=(
        ("Build the current folder and push it", "build -t registry.example.com/app:1 --push ."),
        ("Get the files of a stage instead of an image", "build --target artifacts -o out ."),
        ("Use a secret that stays out of the image", "build --secret id=token,src=token.txt ."),
        ("Build from a git repository", "build -t app https://github.com/user/repo.git#main:subfolder"),
    ),
    run=_run,
)
