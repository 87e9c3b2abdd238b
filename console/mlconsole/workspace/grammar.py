"""What mlconsole.yaml may say: one declaration for its validation and for its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlconsole.core.approvals import ApprovalPolicy, Covered
from mlconsole.core.health import PAGES, Question
from mlconsole.core.health import Settings as HealthSettings
from mlconsole.core.policies import BLUE_GREEN, CAREFUL, AtDeadline, OnFail
from mlconsole.core.policy_lint import ANSWERABLE, INFORMING
from mlconsole.plugin import KINDS, ROLES
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
    "config": "the plugin from which applications read their config documents",
    "lifecycle": "the plugin that starts and stops servers on this machine",
    "actions": "the plugin whose actions are offered",
}

_VARIABLE = "the name of an environment variable that holds {what}: the file itself holds no secret"
_TEXTS = Option("", Kind.TEXT, "a text")

PING = (
    Option("url_env", Kind.TEXT, _VARIABLE.format(what="the URL")),
    Option("url", Kind.TEXT, "the URL itself, where it is no secret"),
    Option("every", Kind.NUMBER, "seconds between two pings", default=60.0, minimum=5, maximum=86_400),
)

PROBE = (
    Option("kind", Kind.NAME, "the plugin that looks: http, tcp, redis, …; its own options stand beside", required=True),
    Option("every", Kind.NUMBER, "seconds between two looks", default=10.0, minimum=1, maximum=3600),
    Option("repair", Kind.NAME, "the action that repairs what it finds"),
)

SEVERITIES = ("page", "recovered", "info")

CHANNEL = (
    Option("kind", Kind.NAME, "the plugin that tells: webhook, command, …; its own options stand beside", required=True),
    Option("after", Kind.NUMBER, "minutes that a page has to be unacknowledged before it goes here too", minimum=1, maximum=1440),
    Option(
        "only",
        Kind.LIST,
        "what goes here; left out, everything",
        of=Option("", Kind.TEXT, "what it is", choices=SEVERITIES),
    ),
)

LOG_FIELDS = (
    Option("time", Kind.TEXT, "the key of when the request began: ISO 8601, or epoch seconds or milliseconds", required=True),
    Option("request_id", Kind.TEXT, "the key of the request's id"),
    Option("status", Kind.TEXT, "the key of the HTTP status that the consumer got"),
    Option("milliseconds", Kind.TEXT, "the key of how long it took, in ms"),
    Option("error", Kind.TEXT, "the key of why it failed"),
    Option("score", Kind.TEXT, "the key of the score"),
)

APPLICATION_LOG = (
    Option("endpoint", Kind.NAME, "the endpoint that the application asks", required=True),
    Option("files", Kind.PATH, "JSON-lines files: a path, * and ? standing for anything", required=True),
    Option("fields", Kind.GROUP, "which key of a line holds what; a dot goes inside: http.status", required=True, fields=LOG_FIELDS),
    Option("slices", Kind.MAP, "slice → the key of its value", of=_TEXTS),
)

HEALTH = (
    Option(
        "errors",
        Kind.NUMBER,
        "the share of failed requests above the usual one that is too much",
        default=HealthSettings.errors,
        minimum=0,
        maximum=1,
    ),
    Option("slice_errors", Kind.NUMBER, "the same for one slice", default=HealthSettings.slice_errors, minimum=0, maximum=1),
    Option("latency_ms", Kind.NUMBER, "a limit for p95 in ms; left out, twice the usual and 50 ms above it", minimum=1),
    Option("cutoff_days", Kind.NUMBER, "how old the serving version's data may be", minimum=1),
    Option("silent", Kind.FLAG, "whether falling silent is a finding", default=HealthSettings.silent),
    Option(
        "pages",
        Kind.LIST,
        "which questions wake somebody",
        default=[str(question) for question in Question if question in PAGES],
        of=Option("", Kind.TEXT, "a question", choices=tuple(str(question) for question in Question if question in PAGES)),
    ),
)

PARAMETER = (
    Option("help", Kind.TEXT, "what it is for", default=""),
    Option("default", Kind.TEXT, "what it is when left out; without one it has to be given"),
)

CHECK = (
    Option("probe", Kind.NAME, "the probe that has to see it repaired"),
    Option("golden", Kind.NAME, "the model whose golden queries have to be answered right"),
)

ACTION = (
    Option("summary", Kind.TEXT, "one line for people", default=""),
    Option("uses", Kind.NAME, "an action that a plugin offers"),
    Option("with", Kind.MAP, "what that action is told", of=_TEXTS),
    Option("run", Kind.LIST, "a command, as a list and never through a shell; {NAME} is a parameter", of=_TEXTS),
    Option("parameters", Kind.MAP, "what the command may be told", of=Option("", Kind.GROUP, "a parameter", fields=PARAMETER)),
    Option("safe", Kind.FLAG, "it needs no typed name in production", default=False),
    Option("time_limit", Kind.NUMBER, "seconds after which it is ended", default=60.0, minimum=1, maximum=86_400),
    Option("check", Kind.GROUP, "how one sees that it helped", fields=CHECK),
    Option("environments", Kind.LIST, "where it is offered; left out, everywhere", of=Option("", Kind.NAME, "an environment")),
)

FREEZE = (
    Option("from", Kind.ANY, "when it begins: 2026-11-27T18:00, in local time or with an offset", required=True),
    Option("until", Kind.ANY, "when it ends, written alike", required=True),
    Option("reason", Kind.TEXT, "why", default=""),
    Option("by", Kind.TEXT, "who wants it", default=""),
)

STAGE = (
    Option("share", Kind.NUMBER, "the new variant's share in percent", required=True, minimum=0, maximum=100),
    Option("wait", Kind.NUMBER, "seconds that it stays there at least", minimum=0),
    Option("evidence", Kind.INTEGER, "how many of its requests the guards need before they pass", minimum=0),
)
"""A stage in full; a share alone is short for one with the policy's wait and evidence."""

GROWTHS = ("linear", "exponential")

GROWTH = (
    Option("kind", Kind.TEXT, "how the shares grow: 20, 40, 60, … or 10, 20, 40, …", required=True, choices=GROWTHS),
    Option("factor", Kind.NUMBER, "the first share, in percent", required=True, minimum=0.01, maximum=100),
)

SHADOW = (
    Option("sample", Kind.NUMBER, "how many of the requests are copied, in percent", default=100, minimum=0.01, maximum=100),
    Option("wait", Kind.NUMBER, "seconds that it lasts at least", default=1800, minimum=0),
    Option("evidence", Kind.INTEGER, "how many pairs are needed", default=300, minimum=0),
)

GUARD = (
    Option(
        "question",
        Kind.TEXT,
        "which of health's questions it asks of the new variant; left out, the guard's name says it",
        choices=tuple(str(question) for question in Question if question in ANSWERABLE | INFORMING),
    ),
    Option("probe", Kind.NAME, "the probe that it asks"),
    Option("golden", Kind.NAME, "the model whose golden queries it asks again"),
    Option("action", Kind.NAME, "the action that has to end well"),
    Option("limit", Kind.NUMBER, "an absolute limit; shares go from 0 to 1"),
    Option("margin", Kind.NUMBER, "how much worse than the stable variant it may be; shares go from 0 to 1", minimum=0),
    Option("slice_margin", Kind.NUMBER, "the same for one slice", minimum=0),
    Option("by_slice", Kind.FLAG, "whether each slice is asked for itself"),
    Option("dry_run", Kind.FLAG, "it is measured and shown, and neither holds nor goes back", default=False),
)

POLICY = (
    Option(
        "preset",
        Kind.TEXT,
        "the policy that this one is like where it says nothing",
        default=CAREFUL.name,
        choices=(CAREFUL.name, BLUE_GREEN.name),
    ),
    Option(
        "stages", Kind.LIST, "the shares of the new variant one after the other", of=Option("", Kind.ANY, "a share in percent, or a stage")
    ),
    Option("growth", Kind.GROUP, "the shares by a rule, in place of stages", fields=GROWTH),
    Option("wait", Kind.NUMBER, "seconds that each stage lasts at least", minimum=0),
    Option("evidence", Kind.INTEGER, "how many of the new variant's requests the guards of each stage need", minimum=0),
    Option("shadow", Kind.GROUP, "a stage of copies before all others", fields=SHADOW),
    Option("bake", Kind.NUMBER, "seconds after the last stage in which the old variant stands by and guards still decide", minimum=0),
    Option(
        "guards", Kind.MAP, "what is asked in every stage; left out, the usual guards", of=Option("", Kind.GROUP, "a guard", fields=GUARD)
    ),
    Option("order", Kind.LIST, "slices that get it one after the other: values of the only slice, or KEY=VALUE", of=_TEXTS),
    Option("on_fail", Kind.TEXT, "what goes back when a slice fails", default=str(OnFail.ALL), choices=tuple(OnFail)),
    Option("deadline", Kind.NUMBER, "seconds from the start until all requests have to be the new variant's", minimum=1),
    Option("at_deadline", Kind.TEXT, "what happens then", default=str(AtDeadline.HOLD), choices=tuple(AtDeadline)),
    Option("stop_old", Kind.FLAG, "the old variant is taken away after the bake", default=False),
    Option("dry_run", Kind.FLAG, "it holds where it would go back", default=False),
)

APPROVALS = (
    Option("needed", Kind.INTEGER, "how many have to approve", default=ApprovalPolicy.needed, minimum=1, maximum=20),
    Option("who", Kind.LIST, "the users who may; left out, everybody who did not write it", of=_TEXTS),
    Option("author_may", Kind.FLAG, "whoever wrote it may approve it, too", default=ApprovalPolicy.author_may),
    Option(
        "for",
        Kind.LIST,
        "what has to be approved; going back never has to",
        default=[str(one) for one in Covered],
        of=Option("", Kind.TEXT, "a kind of change", choices=tuple(Covered)),
    ),
    Option("checklist", Kind.LIST, "what a reviewer is asked; the answers are kept with the request", of=_TEXTS),
)

GATES = (
    Option(
        "evaluation",
        Kind.TEXT,
        "what a version meets whose figures are worse than those of what serves: somebody has to say why, or it is stopped",
        default="ask",
        choices=("ask", "stop"),
    ),
    Option("margin", Kind.NUMBER, "how much worse does not stop it, in the metric's own unit", default=0.0, minimum=0),
)

ENVIRONMENT = (
    Option("production", Kind.FLAG, "changes want names typed; left out, it is true for production, prod and live"),
    Option("read_only", Kind.FLAG, "nothing can be changed from here", default=False),
    *(Option(role, Kind.NAME, _PER_ROLE.get(role, f"the plugin that plays the role {role}"), required=role == "serving") for role in ROLES),
    Option(
        "options", Kind.MAP, "plugin → its options; mlconsole plugins show NAME lists them", of=Option("", Kind.ANY, "the plugin's options")
    ),
    Option("watch", Kind.FLAG, "the guardian watches it", default=True),
    Option("ping", Kind.GROUP, "a URL that the guardian asks for again and again, so that its own death is seen", fields=PING),
    Option("probes", Kind.MAP, "name → what endpoints depend on", of=Option("", Kind.GROUP, "a probe", fields=PROBE, open=True)),
    Option("notify", Kind.MAP, "name → how people are told", of=Option("", Kind.GROUP, "a channel", fields=CHANNEL, open=True)),
    Option(
        "application_logs",
        Kind.MAP,
        "name → what an application logged of its own requests",
        of=Option("", Kind.GROUP, "a log", fields=APPLICATION_LOG),
    ),
    Option("freeze", Kind.LIST, "when nothing goes forward", of=Option("", Kind.GROUP, "a freeze window", fields=FREEZE)),
    Option("approvals", Kind.GROUP, "a colleague has to approve what goes forward; left out, nobody has to", fields=APPROVALS),
    Option("gates", Kind.GROUP, "what a version's figures have to be before it goes there", fields=GATES),
    Option("code", Kind.TEXT, "the commit of the applications that run there, which model versions may ask for (works_with)"),
    Option("traffic_in", Kind.NAME, "the config document in which applications read who gets which share; in place of a traffic role"),
)

CONFIG_FIELDS = (
    Option("endpoint", Kind.TEXT, "where an entry says which endpoint is asked", default="/endpoint"),
    Option("share", Kind.TEXT, "where it says its share, in percent", default="/share"),
    Option("split", Kind.TEXT, "where it says variant → percent, for applications that split traffic themselves", default="/split"),
    Option("fields", Kind.TEXT, "where it lists the model's inputs that the application fills", default="/fields"),
    Option("threshold", Kind.TEXT, "where it says from which score on an answer is an alert", default="/threshold"),
)

CONFIG_VALIDATOR = (
    Option("run", Kind.LIST, "a command, as a list and never through a shell; the document stands on its stdin", of=_TEXTS),
    Option("call", Kind.TEXT, "a function of an installed plugin: package.module:function"),
    Option("time_limit", Kind.NUMBER, "seconds after which it is ended", default=10.0, minimum=1, maximum=600),
)

CONFIG = (
    Option("file", Kind.PATH, "what the document begins with; .json, .yaml or .yml says how it is written", required=True),
    Option("schema", Kind.PATH, "its JSON Schema"),
    Option("description", Kind.TEXT, "one line for people", default=""),
    Option("entries", Kind.TEXT, "where an entry stands for model and slice", default="/{model}/{slice}"),
    Option("slices", Kind.MAP, "model → the slice key of its entries", of=_TEXTS),
    Option("fields", Kind.GROUP, "what stands where in an entry; JSON pointers", fields=CONFIG_FIELDS),
    Option("differ", Kind.LIST, "pointers in an entry whose values differ from slice to slice: an equal one was copied", of=_TEXTS),
    Option("policy", Kind.NAME, "the policy that its rollouts grow by", default=CAREFUL.name),
    Option(
        "order",
        Kind.TEXT,
        "in a change that carries config and traffic: whether it is published before or after requests go elsewhere",
        default="before",
        choices=("before", "after"),
    ),
    Option("validators", Kind.LIST, "checks of your own", of=Option("", Kind.GROUP, "a check", fields=CONFIG_VALIDATOR)),
)

MODEL = (
    Option("endpoint", Kind.NAME, "the endpoint that serves it; left out, the model's name"),
    Option("path", Kind.PATH, "a folder with one folder per version"),
    Option("golden", Kind.ANY, "a file of golden queries, or environment → file"),
    Option("replay", Kind.PATH, "a file of recorded requests that can be sent again"),
)

DEPENDENCY = (
    Option("probe", Kind.NAME, "the probe", required=True),
    Option("versions", Kind.LIST, "the versions of the model that can't do without it; left out, all of them", of=_TEXTS),
)
"""A dependency in full; a probe's name alone is short for one of all versions."""

ENDPOINT = (
    Option("model", Kind.NAME, "the model whose versions run behind it", required=True),
    Option("description", Kind.TEXT, "one line for people", default=""),
    Option("depends_on", Kind.LIST, "the probes of what it can't do without", of=Option("", Kind.ANY, "a probe, or {probe, versions}")),
    Option("health", Kind.GROUP, "what its health is judged by", fields=HEALTH),
    Option("policy", Kind.NAME, "the policy that its rollouts go by", default=CAREFUL.name),
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
    Option("actions", Kind.MAP, "name → what can be done by hand, or as a repair", of=Option("", Kind.GROUP, "an action", fields=ACTION)),
    Option("configs", Kind.MAP, "name → a config document", of=Option("", Kind.GROUP, "a config document", fields=CONFIG)),
    Option("policies", Kind.MAP, "name → how a rollout goes", of=Option("", Kind.GROUP, "a policy", fields=POLICY)),
    Option(
        "observations",
        Kind.GROUP,
        "how much of what was predicted is kept in .mlconsole/observations.db",
        fields=(
            Option("days", Kind.NUMBER, "raw predictions are kept for so many days", 7, minimum=0.1, maximum=366),
            Option("gigabytes", Kind.NUMBER, "and for as long as they fit; then the oldest hours go", 2, minimum=0.05, maximum=1000),
        ),
    ),
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
    environment = properties["environments"]["additionalProperties"]["properties"]
    for named in (
        *(properties[group] for group in ("environments", "models", "endpoints", "actions", "configs", "policies")),
        *(environment[group] for group in ("probes", "notify", "application_logs")),
    ):
        named["propertyNames"] = _NAMES
    # A group may be left empty behind its key, as in `models: {relevance: }`.
    properties["models"]["additionalProperties"]["type"] = ["object", "null"]
    path = {"type": "string", "minLength": 1}
    golden = properties["models"]["additionalProperties"]["properties"]["golden"]
    golden["oneOf"] = [path, {"type": "object", "additionalProperties": path}]
    dependency = properties["endpoints"]["additionalProperties"]["properties"]["depends_on"]["items"]
    dependency["oneOf"] = [{"type": "string", "minLength": 1}, json_schema(DEPENDENCY)]
    policy = properties["policies"]["additionalProperties"]
    # As with models, a policy or a guard may be left empty behind its name: `identical: `.
    policy["type"] = policy["properties"]["guards"]["additionalProperties"]["type"] = ["object", "null"]
    policy["not"] = {"required": ["stages", "growth"]}
    policy["properties"]["stages"]["items"]["oneOf"] = [{"type": "number", "exclusiveMinimum": 0, "maximum": 100}, json_schema(STAGE)]
    for moment in ("from", "until"):
        environment["freeze"]["items"]["properties"][moment]["type"] = "string"
    properties["actions"]["additionalProperties"]["oneOf"] = [{"required": ["uses"]}, {"required": ["run"]}]
    plugins = tuple(plugins)
    known = {plugin.name: json_schema(plugin.options) for plugin in plugins if set(plugin.factories) - set(KINDS) or not plugin.factories}
    if known:
        environment["options"]["properties"] = known
    for group, role, own in (("probes", "probe", PROBE), ("notify", "notifier", CHANNEL)):
        kinds = [plugin for plugin in plugins if role in plugin.factories]
        if kinds:
            each = environment[group]["additionalProperties"]
            each["properties"]["kind"]["enum"] = [plugin.name for plugin in kinds]
            each["allOf"] = [
                {"if": {"properties": {"kind": {"const": plugin.name}}}, "then": json_schema((*own, *plugin.options))} for plugin in kinds
            ]
    return result
