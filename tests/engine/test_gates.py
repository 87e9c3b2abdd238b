"""Gates before traffic: a version that does not answer, or answers otherwise than is known to be right, never gets a request."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.conftest import House
from engine.kit import NAME, deploy, lines, revert, told, whole
from mlconsole.core.operations import Cause
from mlconsole.engine import changing, history, planning
from mlconsole.plugin.roles import Invocation
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind, simulated_version

V4 = simulated_version("relevance", "4")


@pytest.fixture
def judged(house: House) -> House:
    """Golden queries whose right answers are those of v3; v4 answers as v3 does unless a test says otherwise."""
    session = house.session()
    deploy(session, "3")
    for version in ("3", "4", "5"):
        house.sim.world.behave(simulated_version("relevance", version), Behaviour(noise=0.0))
    queries = []
    for number in range(5):
        inputs = {"text": f"event {number}", "language": "de"}
        right = session.backend.invoke(NAME, Invocation(inputs), "v3", probe=True).outputs
        queries.append({"id": f"q{number}", "inputs": inputs, "expect": right, "tolerance": {"score": 1e-6}})
    (house.root / "golden.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    settings = house.root / "mlconsole.yaml"
    settings.write_text(settings.read_text().replace("relevance: {}", "relevance: {golden: golden.jsonl}"))
    return house


def untouched(house: House, operation: str) -> None:
    """What was live is live, and what was created is gone; no request was ever routed to v4."""
    whole(house, operation)
    steps = house.session().registry.steps(operation)
    assert not any(record.step.traffic and record.step.traffic.reaches("v4") for record in steps)
    assert all(observation.probe for observation in house.sim.world.observations() if observation.variant == "v4")


@pytest.mark.parametrize("share", [None, 1000])
def test_a_model_that_refuses_a_real_query(house: House, share: int | None) -> None:
    session = house.session()
    deploy(session, "3")
    house.sim.world.behave(V4, Behaviour(refuses={"*": 'field "title_de" is \x1b[31mmissing'}))
    outcome = deploy(session, "4", share)
    assert (outcome.done, outcome.exit_code) == (False, 1)
    assert 'v4 refuses a real query: 400 field "title_de" is \\x1b[31mmissing' in outcome.sentence
    untouched(house, outcome.operation.id)
    stored = session.registry.operation(outcome.operation.id)
    assert stored is not None
    assert stored.cause is Cause.GATE
    assert told(session)[-1][2] == "failed"


def test_a_first_version_that_refuses_leaves_nothing(house: House) -> None:
    house.sim.world.behave(V4, Behaviour(error_rate=1.0))
    session = house.session()
    outcome = deploy(session, "4")
    assert not outcome.done
    assert "It is as before (no such endpoint)" in outcome.sentence
    whole(house, outcome.operation.id)
    assert session.backend.list() == ()


def test_golden_queries_that_come_out_right(judged: House) -> None:
    session = judged.session()
    outcome = deploy(session, "4", 1000)
    assert outcome.done, outcome.sentence
    [golden] = [line for line in history.change(session, outcome.operation.id)[1] if line.action == "golden"]
    assert (golden.asked, golden.read_back, golden.state) == ("ask v4 5 golden queries", "5 of 5", "done")


@pytest.mark.parametrize("behaviour", [Behaviour(noise=0.0, mean=0.51), Behaviour(constant=0.73)], ids=["other", "collapsed"])
def test_golden_queries_that_differ(judged: House, behaviour: Behaviour) -> None:
    judged.sim.world.behave(V4, behaviour)
    outcome = deploy(judged.session(), "4", 1000)
    assert (outcome.done, outcome.exit_code) == (False, 1)
    assert "5 of 5 golden queries differ on v4: q0: score: wanted 0." in outcome.sentence
    assert outcome.sentence.count("wanted") == 3
    assert "; and 2 more" in outcome.sentence
    untouched(judged, outcome.operation.id)


def test_break_glass_skips_golden_and_is_on_the_release(judged: House) -> None:
    """With a reason, and said: in the plan, on the release, in its history. Answering at all is never skipped."""
    judged.sim.world.behave(V4, Behaviour(constant=0.73))
    session = judged.session()
    plan = planning.plan_deploy(session, NAME, "4", share=1000, break_glass="v3 leaks memory")
    assert plan.skipped_gates == ("golden (v4)",)
    assert [step.action for step in plan.steps if step.role == "gate"] == ["load"]
    assert "--break-glass 'v3 leaks memory'" in plan.command
    outcome = changing.run(session, plan)
    assert outcome.done
    recorded = session.registry.live_release("staging", NAME)
    assert recorded is not None
    assert recorded.release.skipped_gates == ("golden (v4)",)
    assert recorded.release.reason == "v3 leaks memory"
    assert history.releases(session, NAME)[0].skipped_gates == ("golden (v4)",)
    judged.sim.world.behave(simulated_version("relevance", "5"), Behaviour(error_rate=1.0))
    assert not deploy(session, "5", 1000, break_glass="anything").done


def test_golden_queries_that_cannot_be_read(judged: House) -> None:
    """Broken between plan and run: the change goes back and says why, nothing stays between."""
    session = judged.session()
    plan = planning.plan_deploy(session, NAME, "4", share=1000)
    (judged.root / "golden.jsonl").write_text("not json\n")
    outcome = changing.run(session, plan)
    assert not outcome.done
    assert "golden.jsonl" in outcome.sentence
    untouched(judged, outcome.operation.id)


@pytest.mark.parametrize("kind", [FaultKind.THROTTLE, FaultKind.AUTH, FaultKind.TIMEOUT_BEFORE_EFFECT])
def test_a_question_that_could_not_be_asked_is_asked_again(judged: House, kind: FaultKind) -> None:
    """Throttling is never a model's failure."""
    judged.sim.world.inject(Fault(kind, on="serving.invoke", times=3, after=2))
    outcome = deploy(judged.session(), "4", 1000)
    assert outcome.done, outcome.sentence


def test_throttled_for_ever_says_so_and_blames_no_model(judged: House) -> None:
    judged.sim.world.inject(Fault(FaultKind.THROTTLE, on="serving.invoke", times=None))
    outcome = deploy(judged.session(), "4", 1000)
    assert not outcome.done
    assert "ask v4 a real query: Rate exceeded" in outcome.sentence
    untouched(judged, outcome.operation.id)


def test_a_version_that_dies_in_its_gates(judged: House) -> None:
    judged.sim.world.inject(Fault(FaultKind.DIES, seconds=0.0, reason="out of memory"))
    outcome = deploy(judged.session(), "4", 1000)
    assert not outcome.done
    untouched(judged, outcome.operation.id)


def test_a_gate_that_hangs_can_be_stopped(judged: House) -> None:
    """Invariant 5: at least every second, also while a model does not answer."""
    stop = changing.Stop()
    session = judged.session()
    plan = planning.plan_deploy(session, NAME, "4", share=1000)
    judged.sim.world.inject(Fault(FaultKind.HANG, on="serving.invoke"))
    session._tell = lambda progress: stop.press() if "ask v4" in progress.text and progress.kind == "step" else None
    outcome = changing.run(session, plan, stop=stop)
    assert outcome.exit_code == 130
    untouched(judged, outcome.operation.id)
    judged.sim.world.release()


def test_going_back_asks_no_gate(judged: House) -> None:
    """Back is cheap: what stood once is not examined again."""
    session = judged.session()
    deploy(session, "4", 1000)
    judged.sim.world.behave(simulated_version("relevance", "3"), Behaviour(constant=0.1))
    outcome = revert(session)
    assert outcome.done
    assert not [record for record in lines(session, outcome) if record.step.role == "gate"]


def test_the_gates_of_a_backend_that_does_all_at_once(make_house: Callable[..., House], tmp_path: Path) -> None:
    """Trap 18 there: the new version is up, asked, and refused, and no consumer's request ever reached it."""
    house = make_house("combined")
    house.register("3", "4")
    session = house.session()
    deploy(session, "3")
    house.sim.world.behave(V4, Behaviour(refuses={"*": "no"}))
    outcome = deploy(session, "4", 5000)
    assert not outcome.done
    assert "v4 refuses a real query" in outcome.sentence
    untouched(house, outcome.operation.id)
