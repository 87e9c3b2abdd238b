"""Checks of variants: bringing them up, telling how they are, taking them away, going back."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from dataclasses import replace

import pytest

from mlconsole.core.live import Live, Transition, VariantState, differences
from mlconsole.core.releases import NOTHING, Content, Variant
from mlconsole.core.steps import Phase
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.plugin.conformance.base import Checks
from mlconsole.plugin.conformance.bench import Driver, as_live
from mlconsole.plugin.errors import BackendError, UsageError

_NAMES = ("a", "A1", "v-2", "v.2", "v_2", "a" * 32, "a" * 63, f"{'a-' * 31}a", "a" * 64, "a" * 128)
_ODD = ("", "-a", "a-", "a b", "a/b", "a\n", "ä", "a" * 1025, "../a", "a;b", "$(a)", "a\x1b[31m")
_START_MAY_TAKE = 5.0  # real seconds, generous: an API call over the ocean, not a transition


class VariantChecks(Checks):
    """What every serving role has to keep."""

    def test_an_endpoint_that_does_not_exist_is_described_as_nothing(self, it: Driver) -> None:
        """The first deploy begins by describing what is not there yet; an error here would look like an outage."""
        live = it.live()
        assert not live.exists, "an endpoint that nobody made has variants or traffic"
        assert live.transition is Transition.SETTLED
        assert it.endpoint not in it.call("list", it.bench.serving.list)

    def test_a_created_endpoint_runs_the_bytes_that_were_asked_for(self, it: Driver) -> None:
        """Trap 1: a backend's *all is well* proves nothing. Success is the digest that really runs, and the traffic, as asked."""
        target = it.content(WHOLE)
        live = it.reach(target)
        assert live.variants[0].digest == target.variants[0].digest
        assert it.endpoint in it.call("list", it.bench.serving.list), "an endpoint that serves is not in the list"
        assert it.ask_many(5) <= {target.names[0]}

    def test_start_returns_before_the_transition_is_over(self, it: Driver) -> None:
        """Trap 24: deadlines and aborts live in the engine, which can keep neither while a call waits for a backend."""
        target = it.content(WHOLE)
        for step in it.steps(it.live(), target):
            order = it.order(target)
            real, clock = time.monotonic(), it.bench.clock.elapsed()
            it.start(step, order)
            took = max(time.monotonic() - real, it.bench.clock.elapsed() - clock)
            assert took < max(_START_MAY_TAKE, step.seconds / 2), (
                f"starting {step.summary!r} took {took:.1f} s: it waits for the transition"
            )
            it.run(step, target)

    def test_starting_a_step_twice_is_harmless(self, it: Driver) -> None:
        """Field notes §3: starts carry no idempotency token. After a time-out or a crash the engine sends the same step again, while it is
        under way and when it has worked."""
        target = it.content(WHOLE, 0)
        for step in it.steps(it.live(), target):
            it.start(step, it.order(target))
            it.start(step, it.order(target))
            it.wait(step)
        before = it.reach(target)
        for step in it.steps(Live(it.endpoint), target):
            it.start(step, it.order(target))
        after = it.settled(60.0)
        assert not differences(after, target), "a step that had worked already changed something"
        for was in before.variants:
            now = after.variant(was.name)
            assert now is not None, f"{was.name} went away when its step was sent again"
            assert now.since == was.since, f"{was.name} was started anew when its step was sent again"

    def test_steps_are_worked_out_without_any_call(self, it: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        """`steps` is pure: the engine asks it in plans, dry runs and after crashes, and must be able to rely on the answer."""
        target = it.content(WHOLE, 0)
        reached = it.reach(target)
        count = it.bench.backend_calls
        calls = count() if count else 0

        def no_call(*_: object, **__: object) -> None:
            raise AssertionError("`steps` or `limits` called somebody")

        with monkeypatch.context() as patched:
            for name in ("connect", "connect_ex", "send", "sendall", "sendto"):
                patched.setattr(socket.socket, name, no_call)
            patched.setattr(subprocess.Popen, "__init__", no_call)
            for live in (Live(it.endpoint), reached):
                for wanted in (target, it.content(WHOLE), NOTHING):
                    first, second = it.steps(live, wanted), it.steps(live, wanted)
                    assert first == second, "the same live state and target gave different steps"
            assert it.limits == it.limits
        if count:
            assert count() == calls, "`steps` or `limits` called the backend"

    def test_steps_say_what_will_be_true_after_them(self, it: Driver) -> None:
        """The engine polls what a step promises, and nothing else: a promise that is missing is never waited for (invariant 3)."""
        target = it.content(WHOLE, 0)
        steps = it.steps(Live(it.endpoint), target)
        ensured = {variant.name for step in steps for variant in step.ensures}
        assert ensured == set(target.names), f"the steps ensure {sorted(ensured)}, the target has {sorted(target.names)}"
        assert any(step.traffic is not None for step in steps), "no step promises the traffic"
        back = it.steps(as_live(target, it.endpoint), NOTHING)
        assert {name for step in back for name in step.removes} == set(target.names), "deleting does not promise that every variant goes"
        assert any(step.gone for step in back), "deleting does not promise that the traffic ends"
        for step in (*steps, *back):
            assert 0 <= step.seconds <= step.deadline, f"{step.summary!r} takes longer than its own deadline"
            assert step.summary, "a step without a summary"
            assert step.action, "a step without the backend's name for it"
            changes = step.traffic is not None or step.gone
            assert not changes or step.phase is Phase.SHIFT, f"{step.summary!r} changes what consumers get in the phase {step.phase!r}"

    def test_a_variant_at_zero_stands_by_and_is_reached_only_by_name(self, it: Driver) -> None:
        """Trap 18, and the free standby of field notes §4: gates ask the new variant by name before anybody is sent to it."""
        target = it.content(WHOLE, 0)
        live = it.reach(target)
        first, standby = target.names
        assert (there := live.variant(standby)) is not None
        assert there.state is VariantState.READY
        answer = it.ask(standby)
        assert answer.status == 200, f"the variant at 0 % can't be asked by name: {answer.status} {answer.error}"
        assert answer.variant in (standby, None)
        assert it.ask_many(50) <= {first}, "a consumer's request reached the variant at 0 %"

    def test_the_same_name_with_other_bytes_is_another_variant(self, it: Driver) -> None:
        """A variant's identity is its digest, never its name: a fleet swap keeps the name (field notes §3)."""
        name = it.variant(0).name
        for index in (0, 1):
            variant = it.variant(index, name)
            live = it.reach(Content((variant,), Traffic({name: WHOLE})))
            assert live.variants[0].digest == variant.digest

    def test_removing_a_variant_leaves_the_others_alone(self, it: Driver) -> None:
        """Trap 2: an update must not reset what it was not asked to change."""
        both, one = it.content(0, WHOLE), it.content(0, WHOLE)
        kept = it.variant(1)
        one = Content((kept,), Traffic({kept.name: WHOLE}))
        was = it.reach(both).variant(kept.name)
        live = it.reach(one)
        assert [variant.name for variant in live.variants] == [kept.name]
        now = live.variant(kept.name)
        assert was is not None
        assert now is not None
        assert now.since == was.since, f"{kept.name} was started anew"
        assert it.ask_many(20) <= {kept.name}

    def test_deleting_leaves_nothing(self, it: Driver) -> None:
        """Trap 16: routes and mirrors that stay behind come back to life under the next endpoint of the name."""
        it.reach(it.content(WHOLE // 2, WHOLE // 2))
        live = it.reach(NOTHING)
        assert not live.exists
        assert it.endpoint not in it.call("list", it.bench.serving.list), "a deleted endpoint is still in the list"
        assert it.steps(live, NOTHING) == ()
        leftovers = it.bench.leftovers
        if leftovers is not None:
            it.until(lambda: not leftovers(), 30.0, lambda: f"nothing is left of it; there is {', '.join(leftovers())}")

    @pytest.mark.parametrize("moment", ["created", "added", "shifted", "swapped", "removed", "deleted"])
    def test_every_state_has_a_way_back(self, it: Driver, moment: str) -> None:
        """Trap 10: whatever has been reached, the release before it can be reached again; trap 17: exactly that one."""
        alone, added, shifted = it.content(WHOLE), it.content(WHOLE, 0), it.content(WHOLE // 2, WHOLE // 2)
        second = it.variant(1)
        only_second = Content((second,), Traffic({second.name: WHOLE}))
        ways = {
            "created": (NOTHING, alone),
            "added": (alone, added),
            "shifted": (added, shifted),
            "swapped": (alone, only_second),
            "removed": (it.content(0, WHOLE), only_second),
            "deleted": (shifted, NOTHING),
        }
        before, after = ways[moment]
        it.reach(before)
        it.reach(after)
        it.reach(before)
        if before != NOTHING:
            it.ask_many(5)

    def test_going_back_while_it_is_under_way(self, it: Driver) -> None:
        """Invariant 2: an interrupted change ends in the new release or in its revert target. Where a backend can't turn round at once, the
        step is a Conflict until it can (trap 4)."""
        before, after = it.content(WHOLE), it.content(0, WHOLE)
        it.reach(before)
        steps = it.steps(it.live(), after)
        assert steps, "there is nothing to do to get from one variant to two"
        it.begin(steps[0], after)
        it.reach(before)
        it.bench.clock.sleep(max(step.seconds for step in steps))
        assert not differences(it.settled(60.0), before), "what was given up arrived late"

    def test_names_at_the_limit_are_served(self, it: Driver) -> None:
        """The plan trusts `limits().variant_name`; a name that it lets through must not fail when half the change is done."""
        pattern = it.limits.variant_name
        fitting = [name for name in _NAMES if re.fullmatch(pattern, name)]
        assert fitting, f"no common name fits {pattern}"
        longest = it.variant(0, fitting[-1])
        shortest = it.variant(1, fitting[0] if fitting[0] != fitting[-1] else None)
        it.reach(Content((longest, shortest), Traffic({longest.name: WHOLE, shortest.name: 0})))
        for name in (longest.name, shortest.name):
            assert it.ask(name).status == 200

    def test_what_the_limits_exclude_is_refused_by_steps(self, it: Driver) -> None:
        """A refusal belongs into the plan, before anything is touched (invariant 3)."""
        limits = it.limits
        odd = [name for name in (*_NAMES, *_ODD) if not re.fullmatch(limits.variant_name, name)]
        assert odd, f"{limits.variant_name} lets every name through, control characters and paths among them"
        for name in odd:
            variant = it.variant(0, name)
            self._refused(it, Content((variant,), Traffic({name: WHOLE})), f"a variant named {name[:40]!r}")
        many = tuple(replace(it.variant(0), name=f"n{index}") for index in range(limits.variants + 1))
        split = {variant.name: WHOLE if variant is many[0] else 0 for variant in many}
        self._refused(it, Content(many, Traffic(split)), f"{len(many)} variants")

    def test_a_variant_that_cannot_come_up_says_why_and_harms_nobody(self, it: Driver) -> None:
        """A failed start is a state with a reason, and not a time-out; what serves goes on serving meanwhile."""
        if it.bench.broken is None:
            it.skip("the bench has no version that can't come up")
        before = it.content(WHOLE)
        it.reach(before)
        broken = Variant("broken", it.bench.broken.model, it.bench.broken.version, it.bench.broken.artifact.digest)
        target = Content((*before.variants, broken), Traffic({before.names[0]: WHOLE, "broken": 0}))
        step = next(step for step in it.steps(it.live(), target) if broken in step.ensures)
        it.begin(step, target)
        reason = it.until(lambda: self._why_failed(it, "broken"), step.deadline, "FAILED, with a reason")
        assert isinstance(reason, str)
        it.ask_many(10)
        it.reach(before)
        it.ask_many(5)

    def test_steps_leave_an_ill_standby_alone(self, it: Driver) -> None:
        """Trap 12: were it to be mended first, and could not be, there would be no way forward. What gets requests has to be well."""
        forward, back = it.content(0, WHOLE), it.content(WHOLE, 0)
        ill = it.variant(0)
        live = as_live(back, it.endpoint)
        sick = replace(live.variants[0], state=VariantState.FAILED, reason="killed: out of memory")
        live = replace(live, variants=(sick, *live.variants[1:]))
        assert not any(ill in step.ensures for step in it.steps(live, forward)), f"{ill.name} is to be mended, which nobody needs"
        assert any(ill in step.ensures for step in it.steps(live, back)), f"{ill.name} is ill, gets all requests, and is not mended"
        there = replace(live, traffic=forward.traffic)
        assert it.steps(there, forward) == (), "it is as wanted, and yet steps are left"

    def test_an_ill_standby_does_not_hold_the_way_forward(self, it: Driver) -> None:
        """Trap 12: the stable version may be the one that broke. Traffic moves away from it all the same."""
        if it.bench.kill is None:
            it.skip("the bench can't let a variant die")
        it.reach(it.content(WHOLE, 0))
        it.bench.kill(it.variant(0).name)
        live = it.reach(it.content(0, WHOLE))
        assert it.ask_many(10) <= {it.variant(1).name}
        assert live.traffic is not None

    def _refused(self, it: Driver, target: Content, what: str) -> None:
        try:
            it.steps(Live(it.endpoint), target)
        except (BackendError, UsageError):
            return
        raise AssertionError(f"`steps` plans {what}, which the limits exclude")

    def _why_failed(self, it: Driver, name: str) -> str | None:
        live = it.live()
        there = live.variant(name)
        if there is not None and there.state is VariantState.FAILED:
            return there.reason or None
        assert there is None or there.state is not VariantState.READY, f"{name} can't come up, and yet is said to be ready"
        # A backend that fails an update as a whole may show nothing of the variant any more.
        return live.reason or None if live.transition is Transition.FAILED else None
