"""The JSON Schema of stack files and their reference page, both made from the specs."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from opsctl.stack.specs import Spec, StackSpec
from opsctl.stack.validation import is_spec, optional_spec, plain_hint

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def specs() -> list[type[Spec]]:
    """Return every record that a stack file can hold, the stack itself first."""
    found: list[type[Spec]] = []
    waiting: list[type[Spec]] = [StackSpec]
    while waiting:
        spec = waiting.pop(0)
        if spec in found:
            continue
        found.append(spec)
        for hint in typing.get_type_hints(spec, include_extras=True).values():
            waiting.extend(_inside(hint))
    return found


def _inside(hint: Any) -> list[type[Spec]]:
    if is_spec(hint):
        return [hint]
    return [spec for part in typing.get_args(hint) for spec in _inside(part)]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema that accepts what the reader accepts: shorthands and single items too."""
    (reference,), definitions = msgspec.json.schema_components([StackSpec], ref_template="#/$defs/{name}")
    for spec in specs():
        definition = definitions[spec.__name__]
        definition["description"] = (spec.__doc__ or "").strip()
        definition.pop("title", None)
        hints = typing.get_type_hints(spec, include_extras=True)
        for field in msgspec.structs.fields(spec):
            name = field.encode_name
            definition["properties"][name] = _accepting(hints[field.name], definition["properties"][name])
    return {
        "$schema": DIALECT,
        "title": "opsctl stack file",
        "$ref": reference["$ref"],
        "$defs": definitions,
    }


def _accepting(hint: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field, widened by the short forms that the reader understands."""
    kept: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    plain = plain_hint(hint)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    spec = plain if is_spec(plain) else optional_spec(plain)
    if spec is not None:
        return {**kept, **_one(spec)}
    if origin is list and is_spec(arguments[0]):
        one = _one(arguments[0])
        return {**kept, "anyOf": [{"type": "array", "items": one}, *_branches(one)]}
    if origin is dict and is_spec(arguments[1]):
        return {**kept, "type": "object", "additionalProperties": _one(arguments[1])}
    if origin is list and plain_hint(arguments[0]) is str:
        bare = {key: value for key, value in schema.items() if key not in kept}
        return {**kept, "anyOf": [bare, bare["items"]]}
    return schema


def _one(spec: type[Spec]) -> dict[str, Any]:
    """Return the schema of one record: its shorthand and, where nothing is required, null as well."""
    branches: list[dict[str, Any]] = [{"$ref": f"#/$defs/{spec.__name__}"}]
    if spec.shorthand:
        branches.append({"type": "string"})
    if not any(field.required for field in msgspec.structs.fields(spec)):
        branches.append({"type": "null"})
    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def _branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    branches: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return branches


def schema_text() -> str:
    """Return the JSON Schema as the text of docs/opsctl.schema.json."""
    import json

    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


_OPENING = """# The stack file

<!-- made from opsctl/stack/specs.py by `opsctl stack schema --markdown`; do not edit -->

A stack file names the services people think in, what runs each, what it leans on, and what to
look at. `opsctl stack init` writes one for this machine, `opsctl stack validate FILE` checks one
and lists every error with its line, `opsctl stack show` lists what will be looked at.

Looked for in this order: `--stack FILE|NAME`, `OPSCTL_STACK`, `./opsctl.yml`,
`$XDG_CONFIG_HOME/opsctl/opsctl.yml` (or `~/.config/…`), `/etc/opsctl/opsctl.yml`; with none of
them, this machine is discovered. A NAME is a file `NAME.yml` in one of the last two folders, or a
shipped one: {shipped}.

Relative paths are relative to the file. `~` is the home folder of whoever runs opsctl.
Secrets are never written here: `*_env` names a variable and `*_file` a file. A variable is looked
for in the environment, in the service's `env:` file, in the compose project's env file, in `.env`
beside the stack file, and in the env files of the other services. Where it holds a whole URL
(`DATABASE_URL`), the password inside it is used.

Where a list is expected, one item may stand without the brackets; where a record has a *short
form*, its text may stand for it:

```yaml
name: shop
services:
  db:
    unit: postgresql@15-main.service
    postgres: {{dsn: "postgresql://shop@127.0.0.1:5432/shop", password_env: DB_PASSWORD}}
  cache: {{redis: "redis://127.0.0.1:6379/0"}}
  api:
    unit: shop-api.service
    depends_on: [db, cache]
    http: [http://127.0.0.1:8000/health]
    env: .env
```

For completion and checks in an editor, write the schema beside the file
(`opsctl stack schema > opsctl.schema.json`) and put this line at its top:

```yaml
# yaml-language-server: $schema=opsctl.schema.json
```
"""


def reference_text() -> str:
    """Return the text of docs/stack-file.md."""
    from opsctl.stack.reader import SHIPPED

    shipped = ", ".join(f"`{path.stem}`" for path in sorted(SHIPPED.glob("*.yml")))
    parts = [_OPENING.format(shipped=shipped).rstrip()]
    for spec in specs():
        parts += [f"## {_title(spec)}", *_described(spec)]
    return "\n\n".join(parts) + "\n"


def _title(spec: type[Spec]) -> str:
    keys = [
        f"`{field.encode_name}`"
        for holder in specs()
        for field in msgspec.structs.fields(holder)
        if spec in _inside(typing.get_type_hints(holder, include_extras=True)[field.name])
    ]
    return ", ".join(dict.fromkeys(keys)) or "The file"


def _described(spec: type[Spec]) -> list[str]:
    from opsctl.render.markdown import code, table

    properties = msgspec.json.schema_components([spec], ref_template="{name}")[1][spec.__name__]["properties"]
    hints = typing.get_type_hints(spec, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(spec):
        inside = _inside(hints[field.name])
        about = (inside[0].__doc__ or "").strip().partition("\n")[0] if inside else ""
        described = properties[field.encode_name].get("description", "") or about
        default = "required" if field.required else _default(field)
        rows.append((code(field.encode_name), _type_words(hints[field.name]), default, described))
    short = [f"Short form: its {code(spec.shorthand)}."] if spec.shorthand else []
    return [(spec.__doc__ or "").strip(), *short, table(("key", "value", "default", "meaning"), rows)]


def _default(field: msgspec.structs.FieldInfo) -> str:
    from opsctl.render.markdown import code

    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is msgspec.UNSET:
        return "the check's own"
    if isinstance(value, bool):
        return "true" if value else "false"
    empty = value is None or value == "" or value == [] or value == {} or isinstance(value, Spec)
    return "" if empty else code(str(value))


def _type_words(hint: Any) -> str:
    """Return a type in words."""
    plain = plain_hint(hint)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if is_spec(plain):
        return "a record"
    if plain in (str, int, float, bool):
        return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[plain]
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments if value != "")
    if origin is list:
        return f"list: {_type_words(arguments[0])}"
    if origin is dict:
        return f"name → {_type_words(arguments[1])}"
    words = [_type_words(part) for part in arguments if part not in (type(None), msgspec.UnsetType)]
    if type(None) in arguments and msgspec.UnsetType in arguments:
        words.append("null")
    return " or ".join(words)
