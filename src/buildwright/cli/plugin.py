"""Being a plugin of the docker command line, installed as `docker-buildx` (docker/cli cli-plugins/plugin).

docker asks for metadata first, then starts us as `docker-buildx [docker's global flags] buildx ...`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from buildwright import __version__
from buildwright.cli.command import Context
from buildwright.cli.flags import Flag, Kind, parse

_DOCKER_FLAGS = (
    Flag(name="config", help=""),
    Flag(name="context", short="c", help=""),
    Flag(name="debug", short="D", kind=Kind.BOOL, help=""),
    Flag(name="host", short="H", kind=Kind.ARRAY, help=""),
    Flag(name="log-level", short="l", help=""),
    Flag(name="tls", kind=Kind.BOOL, help=""),
    Flag(name="tlscacert", help=""),
    Flag(name="tlscert", help=""),
    Flag(name="tlskey", help=""),
    Flag(name="tlsverify", kind=Kind.BOOL, help=""),
)
_VARIABLES = {"config": "DOCKER_CONFIG", "context": "DOCKER_CONTEXT", "host": "DOCKER_HOST"}


def is_metadata_request(argv: Sequence[str]) -> bool:
    return list(argv[:1]) == ["docker-cli-plugin-metadata"]


def is_plugin(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"))


def metadata() -> str:
    """The answer to docker's first question, as JSON."""
    import json

    answer = {
        "SchemaVersion": "0.1.0",
        "Vendor": "buildwright",
        "Version": f"v{__version__}",
        "ShortDescription": "Docker Buildx (buildwright)",
    }
    return json.dumps(answer, indent=5) + "\n"


def unwrap(argv: Sequence[str], context: Context) -> tuple[Sequence[str], Context]:
    """Our own command line inside of docker's; its global flags become the variables that mean the same."""
    outer = parse(_DOCKER_FLAGS, argv, {}, mixed=False)
    environ = dict(context.environ)
    for flag, variable in _VARIABLES.items():
        if outer.given(flag):
            environ[variable] = outer.strings(flag)[-1] if flag == "host" else outer.string(flag)
    inner = list(outer.args[1:]) if outer.args[:1] == ("buildx",) else list(outer.args)
    if outer.boolean("debug"):
        inner.insert(0, "--debug")
    return inner, replace(context, environ=environ, program="docker buildx")
