"""What mlconsole.yaml may say: one declaration for its validation and for its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlconsole.plugin import ROLES
from mlconsole.plugin.options import Kind, Option, json_schema

if TYPE_CHECKING:
    from mlconsole.core.models import Json
    from mlconsole.plugin import Plugin

FILE = "mlconsole.yaml"

MINIMAL = "{workspace: sample, environments: {staging: {serving: local}}}"
"""What an empty file is told to become; it is valid YAML."""

_PER_ROLE = {
    "serving": "the plugin that runs the variants",
    "traffic": "the plugin that splits the traffic; left out, the serving plugin splits it itself",
    "predictions": "the plugin that reads predictions back",
    "lifecycle": "the plugin that starts and stops servers on this machine",
    "actions": "the plugin whose actions are offered",
}

ENVIRONMENT = (
    Option("production", Kind.FLAG, "changes want names typed; left out, it is true for production, prod and live"),
    Option("read_only", Kind.FLAG, "nothing can be changed from here", default=False),
    *(Option(role, Kind.NAME, _PER_ROLE.get(role, f"the plugin that plays the role {role}"), required=role == "serving") for role in ROLES),
    Option(
        "options", Kind.MAP, "plugin → its options; mlconsole plugins show NAME lists them", of=Option("", Kind.ANY, "the plugin's options")
    ),
)

MODEL = (
    Option("endpoint", Kind.NAME, "the endpoint that serves it; left out, the model's name"),
    Option("path", Kind.PATH, "a folder with one folder per version"),
    Option("golden", Kind.ANY, "a file of golden queries, or environment → file"),
    Option("replay", Kind.PATH, "a file of recorded requests that can be sent again"),
)

ENDPOINT = (
    Option("model", Kind.NAME, "the model whose versions run behind it", required=True),
    Option("description", Kind.TEXT, "one line for people", default=""),
)

WORKSPACE = (
    Option("workspace", Kind.NAME, "the workspace's name", required=True),
    Option("default_environment", Kind.NAME, "the environment that is meant when none is named"),
    Option(
        "environments",
        Kind.MAP,
        "name → which plugin plays which role there",
        required=True,
        of=Option("", Kind.GROUP, "an environment", fields=ENVIRONMENT),
    ),
    Option("models", Kind.MAP, "name → where its files are", of=Option("", Kind.GROUP, "a model", fields=MODEL)),
    Option("endpoints", Kind.MAP, "name → which model it serves", of=Option("", Kind.GROUP, "an endpoint", fields=ENDPOINT)),
)

_NAMES = {"pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"}


def schema(plugins: Iterable[Plugin] = ()) -> Mapping[str, Json]:
    """The JSON Schema (2020-12) of mlconsole.yaml; with `plugins`, each one's own options as well."""
    result: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE,
        **json_schema(WORKSPACE),
    }
    properties = result["properties"]
    for group in ("environments", "models", "endpoints"):
        properties[group]["propertyNames"] = _NAMES
    # A group may be left empty behind its key, as in `models: {relevance: }`.
    properties["models"]["additionalProperties"]["type"] = ["object", "null"]
    path = {"type": "string", "minLength": 1}
    golden = properties["models"]["additionalProperties"]["properties"]["golden"]
    golden["oneOf"] = [path, {"type": "object", "additionalProperties": path}]
    known = {plugin.name: json_schema(plugin.options) for plugin in plugins}
    if known:
        options = properties["environments"]["additionalProperties"]["properties"]["options"]
        options["properties"] = known
    return result
