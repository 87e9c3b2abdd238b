"""mlconsole.yaml → settings: what the grammar allows, and what is said about the rest."""

from __future__ import annotations

import json
import tempfile
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidFile
from mlconsole.core.text import neutralise
from mlconsole.plugin import Option, Plugin
from mlconsole.plugin.options import Kind
from mlconsole.workspace import Workspace, check_plugins, load, options_for, schema
from mlconsole.workspace.grammar import MINIMAL

SAMPLE = """\
workspace: sample                # a name
default_environment: staging
environments:
  staging:
    serving: local
    traffic: local
    predictions: local
    options: {local: {port: 18080, label: "1.10"}}
  production:
    production: true
    read_only: false
    serving: local
models:
  relevance:
    endpoint: relevance
    path: models/relevance
    golden: golden/relevance.jsonl
    replay: events/replay.jsonl
  risk:
    golden: {staging: golden/s.jsonl, production: /p.jsonl}
endpoints: {}
"""

LOCAL = Plugin(
    "local",
    "1.0",
    "a plugin",
    {},
    (
        Option("port", Kind.INTEGER, "a port", default=8000, minimum=1024),
        Option("label", Kind.TEXT, "a label"),
        Option("workers", Kind.INTEGER, "how many", default=1),
    ),
)


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "mlconsole.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def told(folder: Path, text: str | bytes) -> str:
    with pytest.raises(InvalidFile) as caught:
        load(write(folder, text))
    assert caught.value.next
    assert caught.value.exit_code == 2
    message = caught.value.message
    assert message.isprintable()
    return message[message.index("mlconsole.yaml") :]


def sample(folder: Path) -> Workspace:
    return load(write(folder, SAMPLE))


def test_the_sample(tmp_path: Path) -> None:
    workspace = sample(tmp_path)
    assert (workspace.name, workspace.default_environment) == ("sample", "staging")
    assert workspace.root == tmp_path.resolve()
    assert workspace.file == tmp_path / "mlconsole.yaml"
    staging, production = workspace.environments.values()
    assert staging.roles == {"serving": "local", "traffic": "local", "predictions": "local"}
    assert (staging.production, staging.read_only) == (False, False)
    assert (production.production, production.roles) == (True, {"serving": "local"})
    assert workspace.models["relevance"].path == workspace.root / "models/relevance"
    assert workspace.golden_for("relevance", "staging") == workspace.root / "golden/relevance.jsonl"
    assert workspace.golden_for("risk", "staging") == workspace.root / "golden/s.jsonl"
    assert workspace.golden_for("risk", "production") == Path("/p.jsonl")
    assert workspace.golden_for("risk", "elsewhere") is None
    assert workspace.golden_for("unknown", "staging") is None
    assert list(workspace.endpoints) == ["relevance", "risk"]
    with pytest.raises(FrozenInstanceError):
        workspace.name = "other"  # type: ignore[misc]


def test_the_folder_serves_as_well_as_the_file(tmp_path: Path) -> None:
    assert sample(tmp_path) == load(tmp_path)


def test_the_minimal_one_that_an_empty_file_is_told_is_valid(tmp_path: Path) -> None:
    message = told(tmp_path, "")
    assert message == "mlconsole.yaml:1:1: the file is empty."
    assert load(write(tmp_path, MINIMAL)).environments["staging"].roles == {"serving": "local"}


@pytest.mark.parametrize(
    ("name", "production"), [("production", True), ("Prod", True), ("live", True), ("staging", False), ("preprod", False)]
)
def test_production_is_known_by_its_name(tmp_path: Path, name: str, production: bool) -> None:
    text = f"workspace: a\nenvironments: {{{name}: {{serving: local}}}}"
    assert load(write(tmp_path, text)).environments[name].production is production
    text = f"workspace: a\nenvironments: {{{name}: {{serving: local, production: {not production}}}}}"
    assert load(write(tmp_path, text)).environments[name].production is not production


BASE = "workspace: a\nenvironments:\n  staging: {serving: local}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SAMPLE.replace("environments:", "enviroments:"), '3:1: unknown key "enviroments". Did you mean environments?'),
        (SAMPLE.replace("read_only", "readonly"), '11:5: unknown key "readonly" in environments.production. Did you mean read_only?'),
        (SAMPLE.replace("sample ", "1.10 "), '1:12: workspace 1.10 is a number in YAML and would lose its last digit; write "1.10".'),
        (SAMPLE.replace("default_environment: staging", "default_environment: stagin"), "2:22: default_environment"),
        ("workspace: a\n", "1:1: environments is missing: name → which plugin plays which role there."),
        ("workspace: a\nenvironments: {}\n", "2:15: environments is empty: at least one is needed."),
        ("workspace: a\nenvironments:\n  staging:\n", "3:11: environments.staging.serving is missing: the plugin that runs the variants."),
        ("workspace: a b\nenvironments: {x: {serving: local}}", '1:12: workspace "a b" is no name:'),
        ("workspace: a\nenvironments: {a b: {serving: local}}", '2:16: "a b" can\'t name an environment:'),
        (BASE + 'models: {"\\e[31m": {}}', '4:10: "\\x1b[31m" can\'t name a model:'),
        (BASE + "models: {m: {golden: 4}}", "4:22: models.m.golden has to be a path, or environment → path."),
        (BASE + "models: {m: {golden: {stagin: x}}}", '4:23: there is no environment "stagin". Did you mean staging?'),
        (BASE + "models: {m: {golden: {staging: [x]}}}", "4:32: models.m.golden.staging has to be a path"),
        (BASE + "models: {m: {}, n: {endpoint: m}}", '4:31: endpoint "m" serves m already, and n would be behind it too.'),
        (BASE + "models: {n: {endpoint: m}, m: {}}", '4:28: endpoint "m" serves n already, and m would be behind it too.'),
        (BASE + "models: {m: {}}\nendpoints: {e: {model: n}}", '5:24: there is no model "n" in models.'),
        (BASE + "models: {m: {}}\nendpoints: {e: {}}", "5:16: endpoints.e.model is missing: the model whose versions run behind it."),
        (
            "workspace: a\nenvironments:\n  staging:\n    serving: local\n    options: {locl: {}}\n",
            '5:15: options for "locl", which plays no role in staging. Did you mean local?',
        ),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    assert told(tmp_path, text).startswith(f"mlconsole.yaml:{expected}")


def test_endpoints_and_their_models(tmp_path: Path) -> None:
    text = BASE + "models: {m: {}, n: {}, o: {endpoint: own}}\nendpoints: {eu: {model: m, description: Europe}, us: {model: m}}\n"
    workspace = load(write(tmp_path, text))
    assert [workspace.endpoint_for(model) for model in ("m", "n", "o", "unknown")] == ["eu", "n", "own", "unknown"]
    assert {endpoint.name: endpoint.model for endpoint in workspace.endpoints.values()} == {"eu": "m", "us": "m", "n": "n", "own": "o"}
    assert workspace.endpoints["eu"].description == "Europe"
    assert [workspace.model_for(name) for name in ("us", "own", "unknown")] == ["m", "o", None]


def test_options_are_validated_only_for_the_plugin_that_is_loaded(tmp_path: Path) -> None:
    staging, production = sample(tmp_path).environments.values()
    assert options_for(staging, LOCAL) == {"port": 18080, "label": "1.10", "workers": 1}
    assert options_for(production, LOCAL) == {"port": 8000, "label": None, "workers": 1}
    broken = load(write(tmp_path, SAMPLE.replace("port: 18080", "prot: 18080"))).environments["staging"]
    with pytest.raises(
        InvalidFile, match=r'mlconsole.yaml:8:23: unknown key "prot" in environments.staging.options.local. Did you mean port'
    ):
        options_for(broken, LOCAL)
    needy = replace(LOCAL, options=(Option("region", Kind.TEXT, "where", required=True),))
    with pytest.raises(InvalidFile, match=r"mlconsole.yaml:10:5: environments.production.options.local.region is missing: where."):
        options_for(production, needy)


def test_versions_in_options_lose_no_digit(tmp_path: Path) -> None:
    environment = load(write(tmp_path, SAMPLE.replace('"1.10"', "1.10"))).environments["staging"]
    with pytest.raises(InvalidFile, match=r"mlconsole.yaml:8:43: .*label 1.10 is a number in YAML and would lose its last digit"):
        options_for(environment, LOCAL)


def test_plugin_names_are_checked_when_asked(tmp_path: Path) -> None:
    workspace = load(write(tmp_path, SAMPLE.replace("traffic: local", "traffic: locl")))
    with pytest.raises(InvalidFile, match=r'mlconsole.yaml:6:14: traffic: there is no plugin "locl". Did you mean local\?') as caught:
        check_plugins(workspace, ["local", "sagemaker"])
    assert caught.value.next
    check_plugins(workspace.environments["production"], ["local"])
    assert workspace.environments["staging"].place("traffic").endswith("mlconsole.yaml:6:14")


def test_the_file_is_called_as_seen_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "[")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidFile, match=r"^mlconsole.yaml:1:2: not valid YAML: did not find expected node content at the end."):
        load(file)
    monkeypatch.chdir("/")
    with pytest.raises(InvalidFile, match=rf"^{str(tmp_path).lstrip('/')}/mlconsole.yaml:1:2: "):
        load(file)


def test_a_control_sequence_in_a_description_is_data(tmp_path: Path) -> None:
    text = BASE + 'models: {m: {}}\nendpoints: {m: {model: m, description: "\\e[2J"}}\n'
    assert load(write(tmp_path, text)).endpoints["m"].description == "\x1b[2J"


def test_the_schema_comes_from_the_same_declarations() -> None:
    found: Any = schema([LOCAL])
    json.dumps(found)
    groups = {"environments", "models", "endpoints", "actions", "configs", "policies", "observations"}
    assert set(found["properties"]) == {"workspace", "default_environment", *groups}
    assert found["required"] == ["workspace", "environments"]
    environment = found["properties"]["environments"]["additionalProperties"]
    assert set(environment["properties"]) >= {"production", "read_only", "serving", "traffic", "predictions", "options"}
    assert environment["properties"]["options"]["properties"]["local"]["properties"]["port"]["minimum"] == 1024
    assert "oneOf" in found["properties"]["models"]["additionalProperties"]["properties"]["golden"]


def harmless(error: InvalidFile) -> None:
    assert neutralise(str(error)) == str(error)
    assert error.next


TEMPORARY = tempfile.TemporaryDirectory(prefix="mlconsole-settings-")
FOLDER = Path(TEMPORARY.name)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_arbitrary_bytes_are_a_workspace_or_one_error(data: bytes) -> None:
    try:
        load(write(FOLDER, data))
    except InvalidFile as error:
        harmless(error)


PIECES = [
    "",
    " ",
    "\t",
    "\n",
    ":",
    "[",
    "}",
    "&a ",
    "*a",
    "!t ",
    "1.10",
    "no",
    "~",
    '"',
    "\x00",
    "\x1b",
    "ü",
    "- ",
    "<<: ",
    "? ",
    "staging",
    "x: y\n",
    "0x1",
    "|\n",
]


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=4))
def test_a_damaged_file_is_a_workspace_or_one_error(cuts: list[tuple[int, int, str]]) -> None:
    text = SAMPLE
    for start, length, piece in cuts:
        text = text[:start] + piece + text[start + length :]
    try:
        workspace = load(write(FOLDER, text))
        for environment in workspace.environments.values():
            options_for(environment, LOCAL)
        check_plugins(workspace, ["local"])
    except InvalidFile as error:
        harmless(error)


NAMES = st.from_regex(r"[a-z]([a-z0-9._-]{0,6}[a-z0-9])?", fullmatch=True)


@given(st.data())
def test_what_is_valid_is_read_as_it_was_written(data: st.DataObject) -> None:
    environments = data.draw(
        st.dictionaries(
            NAMES,
            st.fixed_dictionaries({"serving": NAMES}, optional={"production": st.booleans(), "read_only": st.booleans(), "traffic": NAMES}),
            min_size=1,
            max_size=3,
        )
    )
    models = data.draw(
        st.dictionaries(NAMES, st.fixed_dictionaries({}, optional={"path": st.just("m/x"), "golden": st.just("g.jsonl")}), max_size=3)
    )
    given_ = {"workspace": data.draw(NAMES), "environments": environments, "models": models}
    workspace = load(write(FOLDER, yaml.safe_dump(given_) if data.draw(st.booleans()) else json.dumps(given_)))
    assert workspace.name == given_["workspace"]
    assert {name: env.roles for name, env in workspace.environments.items()} == {
        name: {role: env[role] for role in ("serving", "traffic") if role in env} for name, env in environments.items()
    }
    for name, env in environments.items():
        found = workspace.environments[name]
        assert found.read_only is env.get("read_only", False)
        assert found.production is env.get("production", name in ("production", "prod", "live"))
    assert {name for name, model in workspace.models.items() if model.golden} == {
        name for name, model in models.items() if "golden" in model
    }
    assert [workspace.endpoint_for(name) for name in models] == list(models)


def test_how_much_is_kept(tmp_path: Path) -> None:
    kept = load(write(tmp_path, BASE + "observations: {days: 1.5, gigabytes: 0.5}\n"))
    assert (kept.keep_days, kept.keep_bytes) == (1.5, 1 << 29)
    usual = load(write(tmp_path, BASE))
    assert (usual.keep_days, usual.keep_bytes) == (7.0, 2 << 30)
    with pytest.raises(InvalidFile, match=r"observations\.days"):
        load(write(tmp_path, BASE + "observations: {days: 0}\n"))
