"""Plans: made once, run once, on the state and in the environment they were made for, by somebody who may and who has said enough."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from engine.conftest import TOMEK, House
from engine.kit import NAME, PLANS, deploy, revert, shift, stands, told, whole
from mlconsole.core.plans import Plan
from mlconsole.core.releases import ReleaseKind
from mlconsole.core.traffic import Traffic
from mlconsole.engine import changing, endpoints, history, machine, models, planning
from mlconsole.engine.access import Access, Deed
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import (
    ConfirmationNeeded,
    DigestMismatch,
    NotAllowed,
    PlanOutdated,
    UnknownName,
    UsageError,
)
from mlconsole.plugin.simulator import simulated_version

READY = Callable[..., House]


def test_a_plan_is_kept_and_nothing_has_happened(ready_house: READY) -> None:
    house = ready_house("shift")
    session = house.session()
    started = house.sim.world.started()
    plan = PLANS["shift"](session)
    assert re.fullmatch(r"[0-9a-f]{4,}", plan.id)
    assert session.registry.plan(plan.id) == plan
    assert house.sim.world.started() == started
    assert session.registry.operation(plan.id) is None
    assert len(told(session)) == 2
    assert plan.command == "mlconsole traffic set relevance v4=25 --env staging"
    assert planning.sentence(plan) == "v3 90 · v4 10  →  v3 75 · v4 25"


def test_a_plan_runs_once(ready_house: READY) -> None:
    house = ready_house("shift")
    session = house.session()
    plan = changing.apply(session, PLANS["shift"](session).id)
    outcome = changing.run(session, plan)
    assert outcome.done
    assert outcome.operation.id == plan.id
    with pytest.raises(PlanOutdated, match=f"Plan {plan.id} was run already; a plan runs once") as error:
        changing.apply(session, plan.id)
    assert error.value.exit_code == 5
    with pytest.raises(PlanOutdated):
        changing.run(session, plan)
    whole(house, plan.id)


def test_not_on_another_state(ready_house: READY) -> None:
    """Exit 5, whether a change of ours or somebody outside made it another."""
    house = ready_house("shift")
    session = house.session()
    plan, other = PLANS["shift"](session), PLANS["deploy"](session)
    assert changing.run(session, other).done
    for try_it in (lambda: changing.apply(session, plan.id), lambda: changing.run(session, plan)):
        with pytest.raises(PlanOutdated, match=r"was made from another state of relevance \(#2; live is now #3\)") as error:
            try_it()
        assert error.value.next == f"Plan it again: {plan.command}"
    late = planning.plan_traffic(session, NAME, {"v4": 3000, "v3": 6000, "v5": 1000})
    house.sim.world.change_outside(NAME, traffic=Traffic({"v3": 10_000, "v4": 0, "v5": 0}))
    with pytest.raises(PlanOutdated, match=f"relevance was changed outside mlconsole since plan {late.id} was made"):
        changing.run(session, late)
    assert session.registry.leases("staging") == []


def test_not_in_another_environment(ready_house: READY) -> None:
    """Neither a plan nor a change, by whatever name it is called: production's is never driven with staging's backend."""
    house = ready_house("shift")
    session, production = house.session(), house.session(environment="production")
    plan = PLANS["shift"](session)
    for try_it in (lambda: changing.apply(production, plan.id), lambda: changing.run(production, plan)):
        with pytest.raises(UsageError, match=rf"Plan {plan.id} is for staging, this is production\. Nothing was changed") as error:
            try_it()
        assert error.value.next == "Add --env staging."
    ended = changing.run(session, plan).operation.id
    operation = session.registry.operation(ended)
    assert operation is not None
    for look in (
        lambda: changing.find_operation(production, ended),
        lambda: changing.recover(production, operation),
        lambda: changing.wait(production, ended, timeout=0),
        lambda: history.change(production, ended),
    ):
        with pytest.raises(UsageError, match="is for staging"):
            look()


def test_unknown_names_come_with_the_nearest(ready_house: READY) -> None:
    house = ready_house("shift")
    session = house.session()
    plan = PLANS["shift"](session)
    near = plan.id[:-1] + ("0" if plan.id[-1] != "0" else "1")
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: changing.apply(session, near), f'no plan "{near}". Did you mean {plan.id}'),
        (lambda: planning.plan_deploy(session, "relevence", "4"), 'no model "relevence". Did you mean relevance?'),
        (lambda: planning.plan_deploy(session, NAME, "44"), 'relevance has no version "44". Did you mean 4?'),
        (lambda: planning.plan_deploy(session, NAME, "latest"), 'relevance has no version "latest"'),
        (lambda: planning.plan_traffic(session, "relevence", {"v4": 100}), 'no endpoint "relevence" in staging. Did you mean relevance?'),
        (lambda: planning.plan_traffic(session, NAME, {"v44": 100}), 'no variant "v44" here. Did you mean v4'),
        (lambda: planning.plan_traffic(session, NAME, {}, slice_value=("langage", "de")), 'declares a slice "langage"'),
        (
            lambda: planning.plan_traffic(session, NAME, {"v4": 100}, slice_value=("language", "dee")),
            '"dee" is no language that is declared',
        ),
        (lambda: planning.plan_remove(session, NAME, "v44"), 'no variant "v44" here'),
        (lambda: planning.plan_delete(session, "other"), 'no endpoint "other"'),
        (lambda: planning.plan_revert(session, "other"), 'no endpoint "other"'),
        (lambda: planning.plan_revert(session, NAME, to=9), "relevance has no release #9. Known: #2, #1"),
        (lambda: changing.find_operation(session, "relevence"), 'no change "relevence" in staging. Did you mean relevance'),
        (lambda: changing.find_operation(session, "relevance#9"), 'no change "relevance#9"'),
        (lambda: endpoints.show(session, "relevence"), "Did you mean relevance"),
    ]
    for ask, words in cases:
        with pytest.raises(UsageError) as error:
            ask()
        assert words in error.value.message
        assert error.value.exit_code == 2


def test_a_release_that_never_stood_is_nothing_to_go_back_to(ready_house: READY) -> None:
    house = ready_house("shift")
    session = house.session()
    stop = changing.Stop()
    stop.press()
    failed = changing.run(session, PLANS["shift"](session), stop=stop).operation.release
    with pytest.raises(NotAllowed, match=f"#{failed} never came to stand"):
        planning.plan_revert(session, NAME, to=failed)


def test_every_plan_says_what_goes_back_how_long_it_takes_and_what_has_to_be_started(ready_house: READY) -> None:
    """Invariant 9."""
    house = ready_house("remove")
    session = house.session()
    share = planning.plan_traffic(session, NAME, {"v4": 1000})
    assert (share.way_back.release, share.way_back.warm, share.way_back.seconds) == (2, True, 1.0)
    gone = planning.plan_remove(session, NAME, "v4")
    assert (gone.way_back.release, gone.way_back.warm) == (2, False)
    assert gone.way_back.seconds >= 3.0
    changing.run(session, gone)
    back = planning.plan_revert(session, NAME)
    assert back.notes == ("v4 is not running: going back takes about 4 s; until then what serves now goes on serving.",)
    deleted = planning.plan_delete(session, NAME)
    assert deleted.notes == ("Removes relevance with v3. Whoever asks it gets no answer from then on.",)


# Who may.


def changes(session: Session) -> dict[str, Callable[[], object]]:
    """Everything that changes something."""
    plan = replace(PLANS["shift"](session), id="abcd")
    operation = session.registry.operations("staging")[0]
    return {
        "run": lambda: changing.run(session, plan),
        "go back": lambda: changing.run(session, replace(plan, kind=ReleaseKind.REVERT)),
        "remove": lambda: changing.run(session, replace(plan, kind=ReleaseKind.REMOVE)),
        "delete": lambda: changing.run(session, replace(plan, kind=ReleaseKind.DELETE)),
        "recover": lambda: changing.recover(session, operation),
        "go back now": lambda: changing.go_back_now(session, NAME),
        "adopt": lambda: endpoints.adopt(session, NAME),
        "register": lambda: models.register(session, NAME, "9", Path("x")),
        "up": lambda: machine.up(session),
        "down": lambda: machine.down(session),
        "action": lambda: machine.run_action(session, "replay", {}),
    }


def test_read_only_refuses_all_but_looking_and_planning(ready_house: READY) -> None:
    """Invariant 8 and trap 27: in the engine, with exit 7, and nothing was called."""
    house = ready_house("shift")
    house.session().registry.close()
    session = house.session(read_only=True)
    started = house.sim.world.started()
    for what, change in changes(session).items():
        with pytest.raises(NotAllowed, match=r"Read only: this session was started with --read-only\. Nothing was changed") as error:
            change()
        assert error.value.exit_code == 7, what
        assert error.value.next
    assert house.sim.world.started() == started
    plan = PLANS["shift"](session)
    assert plan.id == "", "kept nowhere, so it has no name"
    assert len(told(session)) == 2
    assert endpoints.show(session, NAME).release == 2
    assert endpoints.overview(session).read_only
    assert history.changes(session)
    assert endpoints.invoke(session, NAME, None)[0].status == 200
    assert endpoints.adopt is not None


def test_an_environment_can_be_read_only_too(ready_house: READY) -> None:
    house = ready_house("shift")
    session = house.session()
    session.access = Access(replace(session.environment, read_only=True))
    with pytest.raises(NotAllowed, match=r"environment staging is `read_only: true` in mlconsole\.yaml"):
        shift(session, v4=2000)


def test_a_new_deed_is_refused_until_somebody_allows_it(house: House) -> None:
    """An allowlist: forgetting to think of read-only refuses, and never permits."""
    access = Access(house.session().environment, read_only=True)
    allowed = {deed for deed in Deed if access.why_not(deed) is None}
    assert allowed == {Deed.LOOK, Deed.PLAN, Deed.ASK}
    assert access.why_not("something new") is not None  # type: ignore[arg-type]
    assert Access(house.session().environment).why_not(Deed.GO_FORWARD) is None


# Who has said enough.


def test_production_wants_the_endpoints_name(house: House) -> None:
    """Invariant 9: forward is dear, back is cheap; removing and deleting want what is removed, wherever that is."""
    session = house.session(environment="production")
    first = planning.plan_deploy(session, NAME, "3")
    assert first.confirm == NAME
    with pytest.raises(ConfirmationNeeded, match="This changes production: it wants the name relevance") as error:
        changing.confirmed(first, yes=True, typed=None)
    assert (error.value.exit_code, error.value.next) == (2, "Add --confirm relevance.")
    with pytest.raises(ConfirmationNeeded, match=r'"relevence" is not relevance\. Nothing has happened'):
        changing.confirmed(first, yes=True, typed="relevence")
    changing.confirmed(first, yes=False, typed=NAME)
    changing.run(session, first)
    changing.run(session, planning.plan_deploy(session, NAME, "4"))
    assert planning.plan_traffic(session, NAME, {"v4": 1000}).confirm == NAME
    assert planning.plan_remove(session, NAME, "v4").confirm == "v4"
    assert planning.plan_delete(session, NAME).confirm == NAME
    back = planning.plan_revert(session, NAME)
    assert back.confirm is None
    changing.confirmed(back, yes=True, typed=None)
    with pytest.raises(ConfirmationNeeded, match=r"Nobody said yes to this plan.*Add --yes"):
        changing.confirmed(back, yes=False, typed=None)


def test_elsewhere_yes_is_enough_but_not_for_removing(ready_house: READY) -> None:
    session = ready_house("remove").session()
    plan = planning.plan_traffic(session, NAME, {"v4": 1000})
    assert plan.confirm is None
    changing.confirmed(plan, yes=True, typed=None)
    changing.confirmed(plan, yes=False, typed=NAME)
    with pytest.raises(ConfirmationNeeded, match='"relevence" is not relevance'):
        changing.confirmed(plan, yes=True, typed="relevence")
    with pytest.raises(ConfirmationNeeded, match="This changes v4: it wants the name v4"):
        changing.confirmed(planning.plan_remove(session, NAME, "v4"), yes=True, typed=None)
    with pytest.raises(ConfirmationNeeded, match="it wants the name relevance"):
        changing.confirmed(planning.plan_delete(session, NAME), yes=True, typed=None)


# The bytes.


def test_an_artifact_that_was_changed_is_an_alarm_and_no_deployment(house: House) -> None:
    """Issue 2: a digest that no longer matches. Planned, and also between plan and run."""
    session = house.session()
    deploy(session, "3")
    version = simulated_version("relevance", "7", folder=house.root)
    session.registry.add_version(version)
    plan = planning.plan_deploy(session, NAME, "7", share=1000)
    Path(version.artifact.location).write_text("other bytes")
    started = house.sim.world.started()
    for forward in (lambda: changing.run(session, plan), lambda: planning.plan_deploy(session, NAME, "7")):
        with pytest.raises(DigestMismatch, match=r"^ALARM: the artifact of relevance@7 was changed after it was registered") as error:
            forward()
        assert error.value.exit_code == 1
        assert "Nothing was deployed" in error.value.message
    assert house.sim.world.started() == started
    assert session.registry.leases("staging") == []
    assert session.registry.operation(plan.id) is None
    assert deploy(session, "4", 1000).done


@pytest.mark.parametrize("shape", ["separate", "combined"])
def test_the_artifact_of_what_runs_already_holds_nothing_up(make_house: Callable[..., House], shape: str) -> None:
    """One update of a backend may name what runs, too: its file may be gone by now. And going back is never held up by a file."""
    house = make_house(shape)
    house.register("4")
    session = house.session()
    version = simulated_version("relevance", "7", folder=house.root)
    session.registry.add_version(version)
    deploy(session, "7")
    Path(version.artifact.location).unlink()
    outcome = deploy(session, "4", 1000)
    assert outcome.done
    stands(house, whole(house, outcome.operation.id).plan.then)
    assert revert(session).done


def test_the_whole_plan_survives_the_registry(ready_house: READY) -> None:
    session = ready_house("shadow").session()
    plan = PLANS["shadow"](session)
    stored = session.registry.plan(plan.id)
    assert stored is not None
    assert [getattr(stored, one.name) for one in fields(Plan)] == [getattr(plan, one.name) for one in fields(Plan)]


def test_who_did_it(house: House) -> None:
    """The journal names who planned and who ran it."""
    plan = planning.plan_deploy(house.session(), NAME, "3", reason="first")
    changing.run(house.session(TOMEK), plan)
    view, _ = history.change(house.session(), plan.id)
    assert (view.who, view.reason) == ("tomek@bastion-1", "first")
    assert history.change(house.session(), "relevance#1")[0].id == plan.id
    assert history.change(house.session(), NAME)[0].id == plan.id
    with pytest.raises(UnknownName):
        history.changes(house.session(), "relevence")
