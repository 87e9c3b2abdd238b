"""What others did: an endpoint that was changed outside is refused forward, put back or kept; one that others made is adopted as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.conftest import House
from engine.kit import NAME, deploy, remove, revert, shift, stands, told, whole
from mlconsole.core.releases import Variant
from mlconsole.core.traffic import Traffic
from mlconsole.engine import changing, endpoints, planning
from mlconsole.engine.views import State
from mlconsole.plugin.errors import ChangedOutside, Conflict, UnknownName, UsageError
from mlconsole.plugin.simulator import simulated_version, variant_of
from mlconsole.plugin.simulator.state import Pending


@pytest.fixture
def changed(house: House) -> House:
    """#2 says v3 90, v4 10; somebody made it 80 and 20."""
    session = house.session()
    deploy(session, "3")
    deploy(session, "4", 1000)
    house.sim.world.change_outside(NAME, traffic=Traffic({"v3": 8000, "v4": 2000}))
    return house


def test_forward_is_refused_with_the_two_ways_out(changed: House) -> None:
    """screens.md §3.8, exit 5."""
    session = changed.session()
    started = len(changed.sim.world.started())
    for change in (
        lambda: shift(session, v4=3000),
        lambda: deploy(session, "5"),
        lambda: remove(session, "v4"),
        lambda: changing.run(session, planning.plan_delete(session, NAME)),
    ):
        with pytest.raises(ChangedOutside) as error:
            change()
        assert error.value.exit_code == 5
        assert error.value.message == (
            "relevance was changed outside mlconsole: #2 is not what is live "
            "(share of v3: wanted 90 %, found 80 %; share of v4: wanted 10 %, found 20 %)."
        )
        assert "mlconsole revert relevance --env staging puts ours back" in error.value.next
        assert "mlconsole endpoints adopt relevance --env staging keeps theirs" in error.value.next
    assert len(changed.sim.world.started()) == started
    view = endpoints.show(session, NAME)
    assert view.state is State.LOOK
    assert [(variant.desired, variant.reported) for variant in view.variants] == [(9000, 8000), (1000, 2000)]


def test_ours_is_put_back(changed: House) -> None:
    session = changed.session()
    plan = planning.plan_revert(session, NAME)
    assert plan.equals == 2
    assert plan.notes == ("The endpoint was changed outside mlconsole; this puts #2 back.",)
    outcome = changing.run(session, plan)
    assert outcome.done
    whole(changed, outcome.operation.id)
    assert told(session)[1:] == [(2, "deploy", "past", "v3 90 · v4 10"), (3, "revert", "live", "v3 90 · v4 10")]
    assert shift(session, v4=3000).done


def test_theirs_is_kept(changed: House) -> None:
    session = changed.session()
    assert endpoints.adopt(session, NAME, only_look=True).content == "v3 80 · v4 20"
    kept = endpoints.adopt(session, NAME, reason="agreed with jan")
    assert (kept.number, kept.kind, kept.content) == (3, "kept", "v3 80 · v4 20")
    assert shift(session, v4=3000).done
    assert revert(session).sentence == "relevance went back: #5 equals #3: v3 80 · v4 20, read back."
    with pytest.raises(UsageError, match="Nothing to adopt: relevance is #5, as mlconsole left it"):
        endpoints.adopt(session, NAME)


def test_it_can_be_gone_back_further_at_once(changed: House) -> None:
    """No rule ever forbids going back (invariant 8)."""
    outcome = revert(changed.session(), to=1)
    assert outcome.done
    whole(changed, outcome.operation.id)


@pytest.mark.parametrize("shape", ["separate", "combined"])
def test_adopted_as_found_and_gone_back_to(make_house: Callable[..., House], shape: str) -> None:
    """Release #1, *as found*; the first change of ours can be gone back from. Bytes that nobody registered are no obstacle."""
    house = make_house(shape)
    house.register("3", "5")
    known = variant_of(simulated_version("relevance", "3"), "blue")
    foreign = Variant("green", "theirs", "9", "sha256:feed")
    house.sim.world.change_outside(NAME, add=[known, foreign], traffic=Traffic({"blue": 7000, "green": 3000}))
    session = house.session()
    with pytest.raises(ChangedOutside, match="exists in staging, but mlconsole did not make it") as error:
        deploy(session, "5")
    assert error.value.next.endswith("mlconsole endpoints adopt relevance --env staging")
    found = endpoints.adopt(session, NAME)
    assert (found.number, found.kind, found.content, found.standing) == (1, "as found", "blue 70 · green 30", "live")
    recorded = session.registry.release("staging", NAME, 1)
    assert recorded is not None
    assert recorded.release.content.variants == (
        Variant("blue", "relevance", "3", known.digest),
        Variant("green", "theirs", "9", "sha256:feed"),
    )
    outcome = deploy(session, "5", 5000)
    assert outcome.done, outcome.sentence
    assert whole(house, outcome.operation.id).revert_to_release == 1
    back = revert(session)
    assert back.done
    whole(house, back.operation.id)
    stands(house, recorded.release.content)


def test_what_was_never_registered_and_runs_no_more_cannot_be_gone_back_to(house: House) -> None:
    house.sim.world.change_outside(
        NAME,
        add=[Variant("green", "theirs", "9", "sha256:feed"), variant_of(simulated_version())],
        traffic=Traffic({"green": 0, "v1": 10_000}),
    )
    session = house.session()
    endpoints.adopt(session, NAME)
    assert remove(session, "green").done
    with pytest.raises(Conflict, match="#1 needs theirs@9, which is not registered and not running") as error:
        planning.plan_revert(session, NAME)
    assert "mlconsole models register" in error.value.next


def test_what_cannot_be_adopted(house: House) -> None:
    session = house.session()
    deploy(session, "3")
    with pytest.raises(UnknownName, match=r'no endpoint "relevence" at the backend of staging\. Did you mean relevance\?'):
        endpoints.adopt(session, "relevence")
    house.sim.world.change_outside("other", add=[variant_of(simulated_version())], traffic=Traffic({"v1": 10_000}))
    with house.sim.world.section() as state:
        state.endpoints["other"].pending.append(_theirs())
    with pytest.raises(Conflict, match="other is changing at the backend just now"):
        endpoints.adopt(session, "other")


def test_gone_altogether(house: House) -> None:
    """Deleted outside: told, and brought up again by going back."""
    session = house.session()
    deploy(session, "3")
    house.sim.world.change_outside(NAME, delete=True)
    view = endpoints.show(session, NAME)
    assert view.state is State.LOOK
    with pytest.raises(ChangedOutside):
        deploy(session, "4")
    with pytest.raises(UnknownName):
        endpoints.adopt(session, NAME)
    outcome = revert(session)
    assert outcome.done
    whole(house, outcome.operation.id)


def test_a_version_that_died_is_a_failure_and_no_change(house: House) -> None:
    """Which bytes run and who gets what counts; health does not: forward stays open (trap 12)."""
    session = house.session()
    deploy(session, "3")
    house.sim.world.change_outside(NAME, fail={"v3": "killed"})
    assert endpoints.show(session, NAME).state is State.FAILING
    assert deploy(session, "4", 10_000).done


def test_what_somebody_changes_just_now_is_not_built_upon(make_house: Callable[..., House]) -> None:
    """A transition that is not ours: forward waits for it, going back does not have to ask."""
    house = make_house("combined")
    house.register("3", "4")
    session = house.session()
    deploy(session, "3")
    deploy(session, "4")
    planned = planning.plan_traffic(session, NAME, {"v4": 1000})
    with house.sim.world.section() as state:
        state.endpoints[NAME].pending.append(_theirs(house.clock.elapsed() + 30))
    for forward in (lambda: shift(session, v4=1000), lambda: changing.run(session, planned)):
        with pytest.raises(Conflict, match="relevance is changing at the backend just now"):
            forward()
    assert revert(session).done, "it waits for the backend"


def _theirs(due: float = 5000.0) -> Pending:
    return Pending("serving", [], [], None, gone=False, due=due, atomic=True)
