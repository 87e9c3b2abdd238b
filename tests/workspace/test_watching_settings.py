"""What mlconsole.yaml says of probes, channels, logs, health and actions; what is wrong with it, and where."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidFile, UsageError
from mlconsole.core.health import PAGES, Question, Settings
from mlconsole.core.text import neutralise
from mlconsole.plugin import Option, Plugin
from mlconsole.plugin.options import Kind
from mlconsole.plugin.roles import Parameter
from mlconsole.workspace import Dependency, Ping, Workspace, check_plugins, kind_options, load, schema

SAMPLE = """\
workspace: sample
environments:
  staging:
    serving: local
    ping: {url_env: HEALTHCHECK_URL, every: 30}
    probes:
      redis-embeddings: {kind: redis, address: "@redis-embeddings", keys: 1000, every: 5, repair: refill}
      gate: {kind: http, url: "http://127.0.0.1:8080/health/feedface0123456789"}
    notify:
      ops: {kind: webhook, url_env: OPS_WEBHOOK, only: [page, recovered]}
      second: {kind: command, run: ["/usr/local/bin/page", "-"], after: 10}
    application_logs:
      frontend:
        endpoint: relevance
        files: "logs/*.jsonl"
        fields: {time: ts, request_id: rid, status: http.code}
        slices: {language: lang}
  quiet: {serving: local, watch: false}
models:
  relevance: {golden: golden/relevance.jsonl}
  risk: {}
endpoints:
  relevance: {model: relevance, depends_on: [redis-embeddings, gate], health: {errors: 0.05, latency_ms: 300, pages: [errors, identical]}}
actions:
  refill: {summary: fill it, uses: service-load, with: {service: redis}, safe: true, check: {probe: redis-embeddings, golden: relevance}}
  restart:
    run: ["./bin/restart", "--worker={name}", "{why}"]
    parameters: {name: {help: which}, why: {default: "by hand"}}
    time_limit: 5
    environments: [staging]
"""

REDIS = Plugin(
    "redis",
    "1",
    "a probe",
    {"probe": lambda context: None},
    (Option("address", Kind.TEXT, "where", required=True), Option("keys", Kind.INTEGER, "how many", minimum=1)),
)
WEBHOOK = Plugin("webhook", "1", "a notifier", {"notifier": lambda context: None}, (Option("url_env", Kind.TEXT, "where", required=True),))


def write(folder: Path, text: str) -> Path:
    file = folder / "mlconsole.yaml"
    file.write_text(text)
    return file


def sample(folder: Path, *changes: tuple[str, str]) -> Workspace:
    text = SAMPLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load(write(folder, text))


def told(folder: Path, *changes: tuple[str, str]) -> str:
    with pytest.raises(InvalidFile) as caught:
        sample(folder, *changes)
    assert caught.value.next
    assert caught.value.message.isprintable()
    return caught.value.message.partition("mlconsole.yaml:")[2]


def test_the_sample(tmp_path: Path) -> None:
    workspace = sample(tmp_path)
    staging, quiet = workspace.environments.values()
    assert (staging.watch, quiet.watch, quiet.probes, quiet.ping) == (True, False, {}, None)
    assert staging.ping == Ping("HEALTHCHECK_URL", 30)
    redis, gate = staging.probes.values()
    assert (redis.name, redis.kind, redis.every, redis.repair) == ("redis-embeddings", "redis", 5.0, "refill")
    assert (gate.every, gate.repair) == (10.0, None)
    ops, second = staging.channels.values()
    assert (ops.kind, ops.after_minutes, ops.only) == ("webhook", None, ("page", "recovered"))
    assert [ops.takes(what) for what in ("page", "recovered", "info")] == [True, True, False]
    assert (second.kind, second.after_minutes, second.takes("info")) == ("command", 10.0, True)
    log = staging.application_logs["frontend"]
    assert (log.endpoint, log.files) == ("relevance", f"{workspace.root}/logs/*.jsonl")
    assert (log.fields, log.slices) == ({"time": "ts", "request_id": "rid", "status": "http.code"}, {"language": "lang"})


def test_endpoints_depend_on_probes_and_are_judged_by_settings(tmp_path: Path) -> None:
    workspace = sample(tmp_path)
    relevance, risk = workspace.endpoints.values()
    assert relevance.depends_on == (Dependency("redis-embeddings"), Dependency("gate"))
    assert relevance.health == Settings(errors=0.05, latency_ms=300, pages=frozenset({Question.ERRORS, Question.IDENTICAL}))
    assert (risk.depends_on, risk.health) == ((), Settings())


def test_a_dependency_may_be_one_of_some_versions_only(tmp_path: Path) -> None:
    """A legacy version reads from a Redis that the others don't need: while they serve, it may be empty."""
    changed = ("[redis-embeddings, gate]", '[{probe: redis-embeddings, versions: ["2", "1.10"]}, gate, {probe: gate}]')
    relevance = sample(tmp_path, changed).endpoints["relevance"]
    assert relevance.depends_on == (Dependency("redis-embeddings", ("2", "1.10")), Dependency("gate"))
    assert [relevance.probes(versions) for versions in ([], ["3"], ["3", "2"])] == [("gate",), ("gate",), ("redis-embeddings", "gate")]
    assert sample(tmp_path).endpoints["relevance"].probes(()) == ("redis-embeddings", "gate")


def test_a_command_may_call_our_own_python(tmp_path: Path) -> None:
    restart = sample(tmp_path, ('["./bin/restart"', '["{python}", "./bin/restart"')).actions["restart"]
    assert restart.command({"name": "a"}) == (sys.executable, "./bin/restart", "--worker=a", "by hand")
    none = sample(tmp_path, ("pages: [errors, identical]", "pages: []")).endpoints["relevance"].health
    assert none.pages == frozenset()
    every = sample(tmp_path, (", pages: [errors, identical]", "")).endpoints["relevance"].health
    assert every.pages == PAGES


def test_actions(tmp_path: Path) -> None:
    refill, restart = sample(tmp_path).actions.values()
    assert (refill.uses, refill.with_, refill.run, refill.safe) == ("service-load", {"service": "redis"}, None, True)
    assert (refill.check_probe, refill.check_golden, refill.time_limit) == ("redis-embeddings", "relevance", 60.0)
    assert restart.parameters == (Parameter("name", "which"), Parameter("why", "", "by hand"))
    assert (restart.safe, restart.time_limit, restart.check_probe) == (False, 5.0, None)
    assert [restart.offered(name) for name in ("staging", "quiet")] == [True, False]
    assert refill.offered("quiet")


def test_a_parameter_stays_one_argument_whatever_is_in_it(tmp_path: Path) -> None:
    restart = sample(tmp_path).actions["restart"]
    assert restart.command({"name": "a b; rm -rf / {why}"}) == ("./bin/restart", "--worker=a b; rm -rf / {why}", "by hand")
    with pytest.raises(UsageError, match="needs name"):
        restart.command({})
    with pytest.raises(UsageError, match="Did you mean name"):
        restart.command({"nam": "x"})
    with pytest.raises(UsageError, match="NUL"):
        restart.command({"name": "x\0"})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("watch: false", 'watch: "no"', "18:34: environments.quiet.watch has to be true or false"),
        (
            "{url_env: HEALTHCHECK_URL, every: 30}",
            "{every: 30}",
            "5:5: environments.staging.ping has no URL: one of url_env and url is wanted.",
        ),
        ("every: 30", "every: 1", "5:45: environments.staging.ping.every 1 is too small: at least 5."),
        ("kind: redis, ", "", "7:25: environments.staging.probes.redis-embeddings.kind is missing"),
        ("every: 5,", "every: soon,", "7:88: environments.staging.probes.redis-embeddings.every has to be a number"),
        ("repair: refill", "repair: refil", '7:99: repair: there is no action "refil" here. Did you mean refill?'),
        ("repair: refill", "repair: [refill]", "7:99: environments.staging.probes.redis-embeddings.repair has to be a name"),
        ("      gate:", '      "a b":', '8:7: "a b" can\'t name a probe:'),
        (
            "[page, recovered]",
            "[paeg]",
            '10:57: environments.staging.notify.ops.only[0] "paeg" is not one of what it can be. Did you mean page?',
        ),
        ("after: 10", "after: 0.5", "11:73: environments.staging.notify.second.after 0.5 is too small"),
        ("endpoint: relevance\n", "endpoint: relevence\n", '14:19: there is no endpoint "relevence". Did you mean relevance?'),
        ("time: ts, ", "", "16:17: environments.staging.application_logs.frontend.fields.time is missing"),
        ("request_id: rid", "requestid: rid", '16:28: unknown key "requestid" in environments.staging.application_logs.frontend.fields.'),
        ("[redis-embeddings, gate]", "[gate, {probe: gat}]", '23:60: there is no probe "gat" in any environment. Did you mean gate?'),
        ("[redis-embeddings, gate]", "[[gate]]", "23:46: endpoints.relevance.depends_on[0] has to be a probe, or {probe: NAME"),
        ("[redis-embeddings, gate]", "[gate, {versions: ['2']}]", "23:52: endpoints.relevance.depends_on[1].probe is missing"),
        (
            "[redis-embeddings, gate]",
            "[{probe: gate, versions: [2]}]",
            "23:71: endpoints.relevance.depends_on[0].versions[0] 2 is a number",
        ),
        (
            "[redis-embeddings, gate]",
            "[gate, {probe: gate, versions: ['2']}]",
            '23:52: "gate" stands in endpoints.relevance.depends_on twice',
        ),
        ("[redis-embeddings, gate]", "[redis-embedings]", '23:46: there is no probe "redis-embedings" in any environment. Did you mean'),
        ("errors: 0.05", "errors: 5", "23:88: endpoints.relevance.health.errors 5 is too large: at most 1."),
        ("[errors, identical]", "[error]", "23:119: endpoints.relevance.health.pages[0]"),
        ("uses: service-load, with: {service: redis}, ", "", "25:3: actions.refill does nothing"),
        ("uses: service-load,", "uses: service-load, run: [x],", "25:50: actions.refill uses a plugin's action and runs a command"),
        ("uses: service-load,", "run: [x],", "25:40: actions.refill.with belongs to uses"),
        ("probe: redis-embeddings, g", "probe: redis, g", '25:101: check: there is no probe "redis" where this is offered.'),
        ("golden: relevance}", "golden: relevence}", '25:127: check: there is no model "relevence". Did you mean relevance?'),
        ("golden: relevance}", "golden: risk}", "25:127: check: model risk has no golden queries."),
        ('["./bin/restart", "--worker={name}", "{why}"]', "./bin/restart", "27:10: actions.restart.run has to be a list"),
        ('["./bin/restart", "--worker={name}", "{why}"]', "[]", "27:10: actions.restart.run names no program."),
        ('"./bin/restart"', '"{name}"', "27:11: actions.restart.run[0]: no parameter may choose the program."),
        ("{why}", "{whi}", "27:47: actions.restart.run[2]: {whi} is no parameter of this action. Did you mean why?"),
        ("environments: [staging]", "environments: [stagin]", '30:20: there is no environment "stagin". Did you mean staging?'),
        ("time_limit: 5", "time_limit: -5", "29:17: actions.restart.time_limit -5 is too small"),
        ("{service: redis}", "{service: 5}", "25:66: actions.refill.with.service 5 is a number in YAML"),
    ],
)
def test_what_is_wrong(tmp_path: Path, old: str, new: str, expected: str) -> None:
    message = told(tmp_path, (old, new))
    assert message.startswith(expected)


def test_an_action_that_is_offered_elsewhere_repairs_nothing_here(tmp_path: Path) -> None:
    message = told(tmp_path, ("repair: refill", "repair: restart"), ("[staging]", "[quiet]"))
    assert message.startswith('7:99: repair: there is no action "restart" here.')


SECRET = "hunter2abcdefgh1234"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"@redis-embeddings"', f'"redis://:{SECRET}@127.0.0.1:6379"', "holds a user or a password in a URL"),
        ("http://127.0.0.1", f"http://me:{SECRET}@127.0.0.1", "holds a user or a password in a URL"),
        ("keys: 1000", f"password: {SECRET}", "is a secret"),
        ("keys: 1000", f"password_env: {SECRET}-", "has to be the name of an environment variable"),
        ("keys: 1000", f"headers_env: {{Authorization: Bearer {SECRET}}}", "has to be the name of an environment variable"),
        ("url_env: OPS_WEBHOOK", f"url: https://hooks.slack.com/services/T01/B02/{SECRET}", "lets in whoever knows it"),
        ("url_env: OPS_WEBHOOK", f"url: 'https://chat.test/hook?token={SECRET}'", "lets in whoever knows it"),
        ("url_env: OPS_WEBHOOK", f"url_env: https://hooks.slack.com/services/T01/B02/{SECRET}", "has to be the name of"),
        ("url_env: HEALTHCHECK_URL", f"url_env: https://hc.test/{SECRET}", "has to be the name of an environment variable"),
        ('"-"', f'"https://me:{SECRET}@pager.test/"', "holds a user or a password in a URL"),
        ('"{why}"', f'"https://me:{SECRET}@pager.test/"', "holds a user or a password in a URL"),
        ("{service: redis}", f"{{api_key: {SECRET}}}", "is a secret"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        sample(tmp_path, (old, new))
    assert expected in caught.value.message
    assert "environment variable" in caught.value.next
    assert SECRET not in str(caught.value)


def test_own_options_are_validated_when_the_probe_is_made(tmp_path: Path) -> None:
    staging = sample(tmp_path).environments["staging"]
    assert kind_options(staging.probes["redis-embeddings"], REDIS) == {"address": "@redis-embeddings", "keys": 1000}
    assert kind_options(staging.channels["ops"], WEBHOOK) == {"url_env": "OPS_WEBHOOK"}
    many = sample(tmp_path, ("keys: 1000", "keys: many")).environments["staging"].probes["redis-embeddings"]
    with pytest.raises(
        InvalidFile, match=r"mlconsole.yaml:7:75: environments.staging.probes.redis-embeddings.keys has to be a whole number"
    ):
        kind_options(many, REDIS)
    misspelt = sample(tmp_path, ("every: 5", "evry: 5")).environments["staging"].probes["redis-embeddings"]
    with pytest.raises(InvalidFile, match=r'mlconsole.yaml:7:81: unknown key "evry" .* Did you mean every\?'):
        kind_options(misspelt, REDIS)
    with pytest.raises(InvalidFile, match=r"mlconsole.yaml:10:19: kind: the plugin \"redis\" is no way to tell people: it plays probe\."):
        kind_options(staging.channels["ops"], REDIS)
    needy = replace(REDIS, options=(Option("db", Kind.INTEGER, "which", required=True), *REDIS.options))
    with pytest.raises(InvalidFile, match=r"mlconsole.yaml:7:25: environments.staging.probes.redis-embeddings.db is missing: which\."):
        kind_options(staging.probes["redis-embeddings"], needy)


def test_kinds_are_checked_among_the_plugins(tmp_path: Path) -> None:
    workspace = sample(tmp_path, ("kind: redis", "kind: rediss"))
    with pytest.raises(InvalidFile, match=r'mlconsole.yaml:7:32: kind: there is no plugin "rediss". Did you mean redis\?'):
        check_plugins(workspace, ["local", "redis", "http", "webhook", "command"])
    check_plugins(workspace, ["local"], kinds=False)
    check_plugins(workspace.environments["quiet"], ["local"])


def test_the_schema_knows_each_kind() -> None:
    found: Any = schema([REDIS, WEBHOOK])
    json.dumps(found)
    environment = found["properties"]["environments"]["additionalProperties"]["properties"]
    assert set(environment) >= {"watch", "ping", "probes", "notify", "application_logs"}
    probe = environment["probes"]["additionalProperties"]
    assert probe["additionalProperties"] is True
    assert probe["properties"]["kind"]["enum"] == ["redis"]
    (of_redis,) = probe["allOf"]
    assert of_redis["if"] == {"properties": {"kind": {"const": "redis"}}}
    assert set(of_redis["then"]["properties"]) == {"kind", "every", "repair", "address", "keys"}
    assert of_redis["then"]["additionalProperties"] is False
    assert "local" not in environment["options"].get("properties", {})
    endpoint = found["properties"]["endpoints"]["additionalProperties"]["properties"]
    assert endpoint["health"]["properties"]["errors"]["default"] == Settings.errors
    assert set(found["properties"]["actions"]["additionalProperties"]["properties"]) >= {"uses", "with", "run", "check", "time_limit"}


def harmless(error: InvalidFile) -> None:
    assert neutralise(str(error)) == str(error)
    assert error.next


TEMPORARY = tempfile.TemporaryDirectory(prefix="mlconsole-watching-")
PIECES = [
    "",
    " ",
    "\n",
    ":",
    "[",
    "}",
    "{}",
    "&a ",
    "*a",
    "1.10",
    "no",
    "~",
    "-1",
    '"',
    "\x1b",
    "- ",
    "staging",
    "x: y\n",
    "kind: redis",
    "://a@",
]


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 14), st.sampled_from(PIECES)), min_size=1, max_size=4))
def test_a_damaged_file_is_a_workspace_or_one_error(cuts: list[tuple[int, int, str]]) -> None:
    text = SAMPLE
    for start, length, piece in cuts:
        text = text[:start] + piece + text[start + length :]
    try:
        workspace = load(write(Path(TEMPORARY.name), text))
        check_plugins(workspace, ["local", "redis", "http", "webhook", "command"])
        for environment in workspace.environments.values():
            for probe in environment.probes.values():
                kind_options(probe, REDIS)
    except InvalidFile as error:
        harmless(error)
