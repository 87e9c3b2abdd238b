"""What AppConfig knows, where people look: lint by the profile's own schema, what watches, what a deployment is doing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aws.appconfig_house import AwsHouse, aws_house
from aws.parts import Servers
from engine.config_kit import DOC, edited, first
from mlconsole.cli.config_words import document_json, versions_told
from mlconsole.engine import changing, configuring, planning, publishing
from mlconsole.engine.growing import plan_config_rollout
from mlconsole.plugin.errors import NotAllowed

PL = "/relevance/pl/threshold"


@pytest.fixture
def house(aws: Servers, tmp_path: Path) -> AwsHouse:
    made = aws_house(aws, tmp_path, traffic_in=False)
    first(made.session())
    return made


def validated(house: AwsHouse, *schemas: str) -> None:
    """The profile's validators from now on."""
    there = house.there
    there.client.update_configuration_profile(**there.kept, Validators=[{"Type": "JSON_SCHEMA", "Content": one} for one in schemas])


def test_lint_knows_what_the_services_validator_would_refuse(house: AwsHouse) -> None:
    """In time, with the place: nothing is stored for it. Without a `$schema` it is draft 4, in which `exclusiveMaximum` is a flag."""
    threshold = {"type": "number", "maximum": 0.55, "exclusiveMaximum": True}
    entry = {"type": "object", "properties": {"threshold": threshold}}
    validated(house, json.dumps({"type": "object", "properties": {"relevance": {"additionalProperties": entry}}}))
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.55})
    view = configuring.document(session, DOC)
    assert view.draft is not None
    (found,) = (one for one in view.draft.findings if one.severity == "stop")
    assert (found.pointer, found.line) == (PL, 4)
    assert found.text.endswith("(the store's own schema)")
    with pytest.raises(NotAllowed, match="lint stops this"):
        publishing.plan_publish(session, DOC)
    assert house.there.versions() == [1]
    assert edited(house.session(), PL, 0.54).done


def test_a_schema_that_cannot_be_read_stops_nobody_here(house: AwsHouse) -> None:
    validated(house, "{", json.dumps({"type": "nothing"}))
    session = house.session()
    configuring.edit(session, DOC, {PL: 0.5})
    view = configuring.document(session, DOC)
    assert view.draft is not None
    looks = [one for one in view.draft.findings if "the store's own schema" in one.text]
    assert looks
    assert {one.severity for one in looks} == {"look"}


def test_a_deployment_is_told_as_the_service_reports_it(house: AwsHouse) -> None:
    """State, percentage, who triggered what happened last: in `config show`, and as JSON."""
    body = house.text().replace("0.48", "0.61")
    house.there.publish_outside(body.encode(), strategy=house.there.strategy("slow", 600, 0, 50.0))
    view = configuring.document(house.session(), DOC)
    lines = versions_told(view)
    assert "~ models: version 2: DEPLOYING 0 % (deployment 2)" in lines
    assert any("last DEPLOYMENT_STARTED by USER at " in line for line in lines)
    told = document_json(view)
    assert told["publication"] == "version 2: DEPLOYING 0 % (deployment 2)"
    assert told["moving"] is True
    assert told["version"] == 1
    house.there.client.stop_deployment(**house.there.where, DeploymentNumber=2)
    lines = versions_told(configuring.document(house.session(), DOC))
    assert any(line.startswith("▲ models: AppConfig deployment 2 of models 2 was ROLLED_BACK by USER") for line in lines)


def test_plans_say_what_watches(house: AwsHouse, tmp_path: Path) -> None:
    """Invariant 6: with no bake the service's alarms are over before they could fire, and the plan says that it is the guardian only."""
    there = house.there
    there.monitor(there.alarm("relevance-errors"), there.alarm("relevance-latency"))
    configuring.edit(house.session(), DOC, {PL: 0.5})
    assert changing.run(house.session(), planning.plan_deploy(house.session(), "relevance", "3")).done
    told = "AppConfig takes it back by itself on relevance-errors, relevance-latency, until it is baked (all at once, bake 10 min)"
    plan = publishing.plan_publish(house.session(), DOC)
    assert plan.notes[-1] == "all clients at once: no stage in which a guard could stop it"
    rollout = plan_config_rollout(house.session(), DOC, attended=True)
    assert "no alarm of the store's own takes it back: the guardian only" in rollout.notes
    text = (tmp_path / "mlconsole.yaml").read_text()
    (tmp_path / "mlconsole.yaml").write_text(text.replace("strategy: mlconsole.AllAtOnce", "strategy: AppConfig.AllAtOnce"))
    plan = publishing.plan_publish(house.session(), DOC)
    assert plan.notes[-1] == told
    assert plan.steps[0].seconds > 600
    rollout = plan_config_rollout(house.session(), DOC, attended=True)
    assert told in rollout.notes
    assert rollout.path == "100 % → bake 20 s"
