"""Checks of predictions: each is read once, and says truly who made it and for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from mlconsole.core.traffic import WHOLE
from mlconsole.plugin.conformance.base import Checks
from mlconsole.plugin.conformance.bench import Driver
from mlconsole.plugin.errors import BackendError, UsageError
from mlconsole.plugin.roles import Observation


class PredictionChecks(Checks):
    """What a predictions role has to keep. Skipped where the bench has none."""

    def test_each_observation_is_read_exactly_once(self, it: Driver) -> None:
        """An observation counted twice is evidence that is not there; one that is lost hides a failure. Cursors survive restarts."""
        cursor = self._from_here(it)
        it.reach(it.content(WHOLE))
        for number in range(7):
            it.ask(number=number)
        whole = self._seen(it, cursor, lambda seen: len(seen) >= 7)
        assert len(whole) == 7, f"7 requests, {len(whole)} observations"
        small, behind = it.read_all(cursor, limit=2)
        assert [_key(each) for each in small] == [_key(each) for each in whole], "small pages give other observations than large ones"
        assert len({_key(each) for each in whole}) == 7, "an observation was read twice"
        assert it.read_all(behind)[0] == [], "what was read already is read again"
        it.ask()
        later = self._seen(it, behind, lambda seen: len(seen) >= 1)
        assert len(later) == 1
        assert _key(later[0]) not in {_key(each) for each in whole}

    def test_observations_are_attributed_to_who_answered(self, it: Driver) -> None:
        """Trap 7: a canary was promoted on the stable variant's figures. Only proven attribution counts."""
        cursor = self._from_here(it)
        target = it.content(WHOLE // 2, WHOLE // 2)
        it.reach(target)
        answers = [it.ask(number=number) for number in range(40)]
        seen = self._seen(it, cursor, lambda found: len(found) >= 40)
        if all(answer.variant is not None for answer in answers):
            assert Counter(each.variant for each in seen) == Counter(answer.variant for answer in answers)
            told = {answer.request_id: answer.variant for answer in answers if answer.request_id}
            assert all(told.get(each.request_id, each.variant) == each.variant for each in seen), "attributed to somebody else"
        assert {each.variant for each in seen} <= {*target.names, None}
        for each in seen:
            assert each.status == 200
            assert each.milliseconds >= 0
            assert each.time.tzinfo is not None, "a time without its zone"
            marks = (each.pinned, each.probe, each.shadow)
            assert not any(marks), "a consumer's plain request is marked as something else"

    def test_pinned_requests_and_probes_are_marked(self, it: Driver) -> None:
        """Both say nothing about the split: counted with the others they would look like a canary's traffic (traps 7, 15)."""
        cursor = self._from_here(it)
        target = it.content(WHOLE, 0)
        first, second = target.names
        it.reach(target)
        plain, pinned = 5, 4
        for number in range(plain):
            it.ask(number=number)
        for number in range(pinned):
            it.ask(second, number=number)
        for number in range(3):
            it.ask(second, number=number, probe=True)
        it.ask()
        seen = self._seen(it, cursor, lambda found: sum(not (each.pinned or each.probe) for each in found) >= plain + 1)
        split = [each for each in seen if not (each.pinned or each.probe)]
        assert len(split) == plain + 1, f"{plain + 1} requests went by the split, {len(split)} observations say so"
        assert {each.variant for each in split} <= {first, None}, "a pinned request or a probe counts as the split's"
        assert sum(each.pinned and not each.probe for each in seen) == pinned, "not every pinned request is marked as one"

    def test_a_shadows_copies_are_marked(self, it: Driver) -> None:
        """A copy's answer reached nobody: it is evidence about the shadow, and no traffic."""
        if not it.limits.shadow:
            it.skip("this backend has no shadow")
        cursor = self._from_here(it)
        target = it.content(WHOLE, 0, shadow=(1, WHOLE))
        first, second = target.names
        it.reach(target)
        for number in range(6):
            it.ask(number=number)
        # A copy may be told before its original: what the consumer got, and what the shadow said, are often in two logs.
        seen = self._seen(it, cursor, lambda found: min(sum(each.shadow for each in found), sum(not each.shadow for each in found)) >= 6)
        copies = [each for each in seen if each.shadow]
        assert len(copies) == 6, f"6 requests with a whole shadow, {len(copies)} copies"
        assert {each.variant for each in copies} == {second}
        assert {each.variant for each in seen if not each.shadow} <= {first, None}
        pairs = {each.request_id for each in copies} & {each.request_id for each in seen if not each.shadow}
        assert len(pairs) == 6, "a copy can't be paired with its original: they have no request id in common"

    def test_a_shadow_that_was_ended_gets_no_copies(self, it: Driver) -> None:
        """Trap 16 where it hurts: a mirror that nothing reports, and that goes on all the same."""
        if not it.limits.shadow:
            it.skip("this backend has no shadow")
        cursor = self._from_here(it)
        it.reach(it.content(WHOLE, 0, shadow=(1, WHOLE)))
        it.ask()
        self._seen(it, cursor, lambda found: any(each.shadow for each in found))
        it.reach(it.content(WHOLE, 0))
        cursor = self._from_here(it)
        for number in range(5):
            it.ask(number=number)
        seen = self._seen(it, cursor, lambda found: sum(not each.shadow for each in found) >= 5)
        assert not any(each.shadow for each in seen), "the shadow was ended, and still gets copies"

    def test_a_failed_request_is_an_observation(self, it: Driver) -> None:
        """A failure that is not written down is silence, and silence is not health (trap 6)."""
        if it.bench.refused is None:
            it.skip("the bench has no request that is refused")
        refused = it.bench.refused
        cursor = self._from_here(it)
        it.reach(it.content(WHOLE))
        it.call("invoke", lambda: it.bench.serving.invoke(it.endpoint, refused))
        seen = self._seen(it, cursor, lambda found: len(found) >= 1)
        assert [each.status >= 400 for each in seen] == [True]

    def test_a_cursor_of_a_moment_leaves_nothing_out(self, it: Driver) -> None:
        """The guardian begins to read at the moment a stage began; what came just after it must be there."""
        self._from_here(it)
        role = it.bench.predictions
        assert role is not None
        it.reach(it.content(WHOLE))
        it.ask()
        it.bench.clock.sleep(2.0)
        moment = it.bench.clock.now()
        it.bench.clock.sleep(0.01)
        sent = it.ask()
        cursor = it.call("cursor_at", lambda: role.cursor_at(moment))
        seen = self._seen(it, cursor, lambda found: any(each.time >= moment for each in found))
        assert any(each.request_id == sent.request_id for each in seen if sent.request_id) or sent.request_id is None

    def test_a_cursor_that_is_none_is_refused(self, it: Driver) -> None:
        """A cursor comes back from the registry, perhaps of another plugin: to begin silently at the start would count all twice."""
        self._from_here(it)
        role = it.bench.predictions
        assert role is not None
        try:
            it.call("read", lambda: role.read("no cursor \x1b at all"))
        except (BackendError, UsageError):
            return
        raise AssertionError("a text that is no cursor was taken for one")

    def _from_here(self, it: Driver) -> str:
        role = it.bench.predictions
        if role is None:
            it.skip("the bench has no predictions")
        it.bench.clock.sleep(0.01)
        start = it.call("cursor_at", partial(role.cursor_at, it.bench.clock.now()))
        # A cursor of a moment may lie before it: what earlier checks left is read away.
        return it.read_all(start)[1]

    def _seen(self, it: Driver, cursor: str, enough: Callable[[list[Observation]], bool]) -> list[Observation]:
        last: list[Observation] = []

        def look() -> bool:
            last[:] = it.read_all(cursor)[0]
            return enough(last)

        it.until(look, it.bench.lag, lambda: f"the observations are there; {len(last)} are")
        return last


def _key(observation: Observation) -> tuple[str, str | None, bool]:
    return observation.request_id, observation.variant, observation.shadow
