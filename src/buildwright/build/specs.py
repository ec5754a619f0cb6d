"""The CSV forms that users write for outputs, secrets and attestations (buildx util/buildflags), as model values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from buildwright.errors import UsageError
from buildwright.model import boolean
from buildwright.model.csvvalue import fields, join
from buildwright.model.request import Output, SecretSource


def is_true(text: str, *, default: bool = False) -> bool:
    """Go's strconv.ParseBool with its error dropped: `default` for anything that is no truth value."""
    try:
        return boolean.parse(text)
    except ValueError:
        return default


def _fields(text: str, what: str) -> tuple[str, ...]:
    try:
        return fields(text)
    except ValueError as error:
        raise UsageError(f"invalid {what}: {error}") from None


def parse_output(text: str) -> Output:
    """`-o`: a folder's name, "-" for a tar on stdout, or CSV with `type=`. Raises UsageError."""
    items = _fields(text, "output")
    if len(items) == 1 and items[0] == text and not text.startswith("type="):
        return Output(type="tar", dest="-") if text == "-" else Output(type="local", dest=text)
    attrs: dict[str, str] = {}
    for item in items:
        key, separator, value = item.partition("=")
        if not separator:
            raise UsageError(f'invalid output "{text}": "{item}" is not key=value')
        attrs[key.strip().lower()] = value
    kind = attrs.pop("type", "")
    if not kind:
        raise UsageError(f'invalid output "{text}": type is required for output, like type=image or type=local')
    return Output(type=kind, dest=attrs.pop("dest", "") or None, attrs=attrs)


def parse_secret(text: str, environ: Mapping[str, str]) -> SecretSource:
    """`--secret`: CSV of `id`, `src`/`source`, `env` and `type=file|env`; without a source, the environment
    variable of that name if it is set, else the file of that name. Raises UsageError, never with a value."""
    attrs: dict[str, str] = {}
    for item in _fields(text, "secret"):
        key, separator, value = item.partition("=")
        key = {"source": "src"}.get(key.lower(), key.lower())
        if not separator:
            raise UsageError(f'invalid secret: field "{item}" must be a key=value pair, like id=token,src=token.txt')
        if key not in ("type", "id", "src", "env"):
            raise UsageError(f'invalid secret: unexpected key "{key}"; the keys are id, src, env and type')
        attrs[key] = value
    kind, name = attrs.get("type", ""), attrs.get("id", "")
    if kind not in ("", "file", "env"):
        raise UsageError(f'invalid secret: unsupported secret type "{kind}"; it is file or env')
    if not name:
        raise UsageError("invalid secret: it has no id; write it as id=NAME,src=PATH or id=NAME,env=VARIABLE")
    file, env = attrs.get("src", ""), attrs.get("env", "")
    if kind == "env" and not env:
        file, env = "", file
    if env:
        return SecretSource(id=name, env=env)
    if file:
        return SecretSource(id=name, file=file)
    return SecretSource(id=name, env=name) if name in environ else SecretSource(id=name, file=name)


def parse_attestations(attests: Iterable[str], *, provenance: str = "", sbom: str = "") -> Mapping[str, str | None]:
    """`--attest`, `--provenance` and `--sbom` together; the first of each type wins, None switches it off."""
    specs = [
        *attests,
        *([_shorthand("provenance", provenance)] if provenance else ()),
        *([_shorthand("sbom", sbom)] if sbom else ()),
    ]
    result: dict[str, str | None] = {}
    for spec in specs:
        kind, value = _parse_attestation(spec)
        result.setdefault(kind, value)
    return result


def _shorthand(kind: str, value: str) -> str:
    try:
        enabled = boolean.parse(value)
    except ValueError:
        return f"type={kind},{value}"
    return f"type={kind},disabled={'false' if enabled else 'true'}"


def _parse_attestation(spec: str) -> tuple[str, str | None]:
    attrs: dict[str, str] = {}
    for item in _fields(spec, "attestation"):
        key, separator, value = item.partition("=")
        if not separator:
            raise UsageError(f'invalid attestation "{spec}": "{item}" is not key=value')
        attrs[key.strip().lower()] = value
    kind = attrs.pop("type", "")
    if not kind:
        raise UsageError(f'invalid attestation "{spec}": it has no type, like type=provenance')
    try:
        disabled = boolean.parse(attrs.pop("disabled", "false"))
    except ValueError as error:
        raise UsageError(f'invalid attestation "{spec}": disabled: {error}') from None
    return kind, None if disabled else join([f"type={kind}", *(f"{key}={attrs[key]}" for key in sorted(attrs))])


def parse_pairs(values: Iterable[str], *, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """`K=V` items. A lone `K` takes its value from `environ` (left out when unset there), or is empty without one."""
    result: dict[str, str] = {}
    for item in values:
        key, separator, value = item.partition("=")
        if not key:
            raise UsageError(f'invalid key-value pair "{item}": empty key')
        if separator:
            result[key] = value
        elif environ is None:
            result[key] = ""
        elif key in environ:
            result[key] = environ[key]
    return result


def parse_annotations(values: Iterable[str]) -> dict[str, str]:
    """`--annotation`: items `[TYPE[PLATFORM],...:]KEY=VALUE` as BuildRequest has them. Raises UsageError."""
    result: dict[str, str] = {}
    for item in filter(None, values):
        key, separator, value = item.partition("=")
        if not separator or not key:
            raise UsageError(f'invalid annotation "{item}", expected key=value')
        result[key] = value
    return result
