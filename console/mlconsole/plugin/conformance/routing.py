"""Checks of traffic: shares, slices and the shadow, set and taken away again."""

from __future__ import annotations

from dataclasses import replace

from mlconsole.core.live import Live
from mlconsole.core.releases import Content
from mlconsole.core.traffic import WHOLE, Traffic, names_in
from mlconsole.plugin.conformance.base import Checks
from mlconsole.plugin.conformance.bench import Driver, as_live
from mlconsole.plugin.errors import BackendError, UsageError


class TrafficChecks(Checks):
    """What whoever splits the traffic has to keep: the traffic role, or serving itself."""

    def test_every_expressible_share_is_set_and_read_back(self, it: Driver) -> None:
        """Trap 15: a share that was set is not yet a share that is. It is read back in the backend's own granularity, or not at all."""
        grain = it.limits.share_granularity
        it.reach(it.content(WHOLE, 0))
        thirds = WHOLE // 3 // grain * grain
        for share in dict.fromkeys((grain, thirds, WHOLE // 2 // grain * grain, WHOLE - grain, WHOLE, 0)):
            target = it.content(WHOLE - share, share)
            live = it.reach(target)
            assert live.traffic is not None
            assert (live.traffic.share(target.names[0]), live.traffic.share(target.names[1])) == (WHOLE - share, share)

    def test_three_variants_share(self, it: Driver) -> None:
        """Relative weights and rounding show with three, not with two."""
        grain = it.limits.share_granularity
        third = WHOLE // 3 // grain * grain
        live = it.reach(it.content(WHOLE - 2 * third, third, third))
        assert live.traffic is not None
        assert sum(live.traffic.split.values()) == WHOLE

    def test_shares_between_two_steps_are_refused_by_steps(self, it: Driver) -> None:
        """Invariant 3: a share that the backend can't express is refused in the plan, never rounded in silence."""
        grain = it.limits.share_granularity
        assert 1 <= grain <= WHOLE
        if grain == 1:
            it.skip("this backend expresses every basis point")
        for share in (1, grain // 2, grain + 1):
            target = it.content(WHOLE - share, share)
            try:
                it.steps(Live(it.endpoint), target)
            except (BackendError, UsageError):
                continue
            raise AssertionError(f"`steps` plans {share} basis points, though shares are multiples of {grain}")

    def test_both_halves_of_a_split_are_reached(self, it: Driver) -> None:
        """Trap 15 again: what is reported is compared with who answers."""
        target = it.content(WHOLE // 2, WHOLE // 2)
        it.reach(target)
        seen = it.ask_many(100)
        if not seen:
            it.skip("the backend can't say who answered")
        assert seen == set(target.names), f"of two halves only {sorted(seen)} answered 100 requests"

    def test_a_slice_has_a_split_of_its_own_and_loses_it_again(self, it: Driver) -> None:
        """Traps 15 and 16: the slice goes where it was sent, the others do not, and nothing of it stays."""
        if not it.limits.slices:
            self._refuses(it, it.content(WHOLE, 0, by_slice={it.bench.slice[1]: (0, WHOLE)}), "a split by slice")
            return
        _, own, other = it.bench.slice
        plain = it.content(WHOLE, 0)
        first, second = plain.names
        it.reach(plain)
        it.reach(it.content(WHOLE, 0, by_slice={own: (0, WHOLE)}))
        assert it.ask_many(20, value=own) <= {second}, f"requests of {own} are answered by {first}"
        assert it.ask_many(20, value=other) <= {first}, f"requests of {other} are answered by {second}"
        live = it.reach(plain)
        assert live.traffic is not None
        assert live.traffic.by_slice == (), "the slice's split is still reported"
        assert it.ask_many(20, value=own) <= {first}, "the slice's route outlived its split"

    def test_two_values_of_a_slice_do_not_mix(self, it: Driver) -> None:
        """Each value has its own split; changing one leaves the other as it is."""
        if not it.limits.slices:
            it.skip("this backend has no slices")
        _, own, other = it.bench.slice
        first, second = it.content(WHOLE, 0).names
        it.reach(it.content(WHOLE, 0, by_slice={own: (0, WHOLE), other: (0, WHOLE)}))
        it.reach(it.content(WHOLE, 0, by_slice={own: (WHOLE, 0), other: (0, WHOLE)}))
        assert it.ask_many(20, value=own) <= {first}
        assert it.ask_many(20, value=other) <= {second}

    def test_a_shadow_is_set_moved_and_removed(self, it: Driver) -> None:
        """Trap 16: an abort that leaves the mirror behind doubles the load for ever, and nobody sees it."""
        if not it.limits.shadow:
            self._refuses(it, it.content(WHOLE, 0, shadow=(1, WHOLE)), "a shadow")
            return
        plain = it.content(WHOLE, 0)
        it.reach(plain)
        shadowed = it.content(WHOLE, 0, shadow=(1, WHOLE))
        live = it.reach(shadowed)
        assert live.traffic is not None
        assert live.traffic.shadow == shadowed.traffic.shadow if shadowed.traffic else False
        assert it.ask_many(20) <= {plain.names[0]}, "the shadow answered a consumer"
        if len(it.bench.versions) > 2:
            moved = self._with_third_as_shadow(it)
            live = it.reach(moved)
            assert it.variant(1).name not in names_in(live.traffic), "the former shadow is still routed"
            it.reach(shadowed)
        live = it.reach(plain)
        assert live.traffic is not None
        assert live.traffic.shadow is None, "the shadow is still there after it was ended"
        assert it.ask_many(10) <= {plain.names[0]}

    def test_a_shadow_can_be_given_traffic(self, it: Driver) -> None:
        """From shadow to canary in one release: the copies end as the requests begin."""
        if not it.limits.shadow:
            it.skip("this backend has no shadow")
        it.reach(it.content(WHOLE, 0, shadow=(1, WHOLE)))
        live = it.reach(it.content(WHOLE // 2, WHOLE // 2))
        assert live.traffic is not None
        assert live.traffic.shadow is None

    def test_no_request_is_sent_to_a_variant_that_is_not_there(self, it: Driver) -> None:
        """Trap 18: the variant may have died between the plan and the step. It is refused, or consumers do not feel it."""
        before = it.content(WHOLE, 0)
        alone = Content(before.variants[:1], Traffic({before.names[0]: WHOLE}))
        it.reach(alone)
        target = it.content(0, WHOLE)
        pretended = replace(as_live(before, it.endpoint))
        for step in it.steps(pretended, target):
            try:
                it.start(step, it.order(target))
            except (BackendError, UsageError):
                continue
        it.settled(600.0)
        it.ask_many(20)

    def test_the_scope_of_an_endpoint_is_always_the_same(self, it: Driver) -> None:
        """The lease is taken on it before anything is described: two names for one thing are two drivers on it (invariant 4)."""
        role = it.bench.traffic
        if role is None:
            it.skip("serving splits the traffic itself: the scope is the endpoint")
        scopes = {it.call("scope", lambda: role.scope(it.endpoint)) for _ in range(3)}
        it.reach(it.content(WHOLE))
        scopes.add(it.call("scope", lambda: role.scope(it.endpoint)))
        assert len(scopes) == 1, f"the endpoint has the scopes {sorted(scopes)}"
        assert scopes.pop(), "the scope has no name"

    def _refuses(self, it: Driver, target: Content, what: str) -> None:
        try:
            it.steps(Live(it.endpoint), target)
        except (BackendError, UsageError):
            return
        raise AssertionError(f"`steps` plans {what}, which the limits exclude")

    def _with_third_as_shadow(self, it: Driver) -> Content:
        """The second variant gone, the third the shadow: what a backend with one shadow and one production variant can express, too."""
        three = it.content(WHOLE, 0, 0, shadow=(2, WHOLE))
        assert three.traffic is not None
        first, second, third = three.variants
        split = {first.name: WHOLE, third.name: 0}
        assert second.name not in split
        return Content((first, third), Traffic(split, shadow=three.traffic.shadow))
