"""Checks of a store of config documents: versions that never change, one of them published, and nobody ever sees half of it."""

from __future__ import annotations

from functools import partial

import pytest

from mlconsole.core.documents import WHOLE, Document, LiveDocument, digest_of
from mlconsole.core.live import Live, Transition, document_differences
from mlconsole.core.steps import Phase, after, outstanding
from mlconsole.core.text import neutralise
from mlconsole.plugin.conformance.storing import ConfigBench, ConfigDriver
from mlconsole.plugin.errors import BackendError, Conflict, NotFound, UsageError

_NOBODY = "no-such-document"
_ROUNDS = 12
_ODD = (
    b'{"a": 1}',
    '{\r\n  "größe": 0.50,\t"b" : [1,2 ,3],   "c": 1E5 }\r\n\r\n'.encode(),
    b"# a comment\na: &x {b: 0.10}\nc: *x  # kept\n",
)
"""Bytes that a store which understands what it keeps would like to write anew."""


class ConfigStoreConformance:
    """Subclass it as `Test…` and override the fixture `bench`."""

    @pytest.fixture
    def bench(self) -> ConfigBench:
        """The store on its bench; your subclass gives it. A backend that is dear to make may come from a fixture of wider scope."""
        raise NotImplementedError("give the suite a bench: override the fixture `bench`")

    @pytest.fixture
    def it(self, bench: ConfigBench) -> ConfigDriver:
        """The bench, driven; a version is published to all clients."""
        driver = ConfigDriver(bench)
        driver.settled(600.0)
        driver.publish(driver.body())
        return driver

    # Versions.

    def test_a_version_is_read_back_to_the_byte(self, it: ConfigDriver) -> None:
        """An edit keeps comments, order and formatting: a store that parses and writes anew would throw them away."""
        for body in _ODD:
            target = it.publish(body)
            assert it.read(target.version) == body
            assert it.live().digest == digest_of(body)

    def test_a_version_never_changes(self, it: ConfigDriver) -> None:
        """What a revert goes back to must be what it was (trap 17)."""
        first = it.publish(it.body())
        body = it.read(first.version)
        it.publish(it.body())
        was = it.live()
        other = it.body()
        with pytest.raises(Conflict):
            it.start(it.step(Document(it.name, first.version, digest_of(other))), it.order({digest_of(other): other}))
        it.settled(60.0)
        assert it.read(first.version) == body, "a version has other bytes than before"
        assert it.live() == was, "a version that was refused changed what is published"

    def test_only_the_next_number_is_taken(self, it: ConfigDriver) -> None:
        """The optimistic lock (trap 5): a number that is not the next one was worked out from something older."""
        was = it.live()
        for number in (was.latest + 2, was.latest + 100):
            body = it.body()
            with pytest.raises(Conflict):
                it.start(it.step(Document(it.name, number, digest_of(body))), it.order({digest_of(body): body}))
        assert it.settled(60.0) == was
        assert it.numbers()[0] == was.latest, "a version was added under a number that was skipped to"

    def test_two_writers_at_once_and_one_wins(self, it: ConfigDriver) -> None:
        """Two people publish what both made from the same version: the second must hear of it, not overwrite."""
        for _ in range(5):
            targets = {body: it.next(body) for body in (it.body(), it.body())}
            fence = it.newest_fence()

            def write(body: bytes, target: Document, fence: int = fence) -> None:
                it.start(it.step(target), it.order({digest_of(body): body}, fence))

            outcomes = it.together([partial(write, body, target) for body, target in targets.items()])
            lost = [error for error in outcomes if error is not None]
            assert len(lost) == 1, f"of two writers {2 - len(lost)} were told that theirs is published: {lost}"
            assert isinstance(lost[0], Conflict), f"the loser was told {lost[0]!r}"
            won, target = list(targets.items())[outcomes.index(None)]
            live = it.settled(60.0)
            assert (live.version, live.digest, live.latest) == (target.version, digest_of(won), target.version)
            assert it.read(target.version) == won

    def test_versions_are_listed_newest_first(self, it: ConfigDriver) -> None:
        """A list from which somebody picks what to go back to: numbers, digests and sizes are those of the bytes."""
        bodies = [it.body() for _ in range(3)]
        last = [it.publish(body).version for body in bodies][-1]
        found = it.call("versions", lambda: it.store.versions(it.name, 3))
        assert [one.number for one in found] == [last, last - 1, last - 2]
        assert [(one.digest, one.size) for one in found] == [(digest_of(body), len(body)) for body in reversed(bodies)]
        assert len(it.call("versions", lambda: it.store.versions(it.name, 1))) == 1
        for one in found:
            assert one.created is None or one.created.tzinfo is not None, "a time without its zone"
            assert neutralise(one.note).isprintable()

    def test_a_damaged_version_is_an_error(self, it: ConfigDriver) -> None:
        """Bytes that are not those of the version are worse than none: they would be published, or gone back to."""
        damage = it.bench.damage
        if damage is None:
            pytest.skip("the bench can damage no version")
        first = it.publish(it.body())
        body = it.read(first.version)
        it.publish(it.body())
        damage(it.name, first.version)
        with pytest.raises(BackendError):
            it.read(first.version)
        for known in it.call("versions", lambda: it.store.versions(it.name, 10)):
            if known.number != first.version:
                assert digest_of(it.read(known.number)) == known.digest
        # Whoever still has the bytes can go back to it.
        again = Document(it.name, first.version, first.digest)
        it.reach(again, {first.digest: body})
        assert it.read(first.version) == body

    # Publishing.

    def test_what_is_published_is_read_back(self, it: ConfigDriver) -> None:
        """Invariant 3: published is what the store says after it, not that a call came back."""
        for _ in range(3):
            target = it.publish(it.body())
            live = it.live()
            assert (live.name, live.version, live.digest, live.share) == (it.name, target.version, target.digest, WHOLE)
            assert live.latest == target.version

    def test_going_back_is_publishing_an_earlier_version(self, it: ConfigDriver) -> None:
        """Invariant 9: back is one step, adds nothing, and the way forward stays open."""
        first, second = it.publish(it.body()), it.publish(it.body())
        it.reach(first, {})
        assert it.live().latest == second.version, "going back added a version"
        it.reach(second, {})
        assert it.live().digest == second.digest

    def test_the_same_bytes_may_come_again_under_a_new_number(self, it: ConfigDriver) -> None:
        """A revert of one value may lead to bytes that there were before: they are another version all the same."""
        body = it.body()
        first = it.publish(body)
        it.publish(it.body())
        third = it.publish(body)
        assert third.version == first.version + 2
        assert it.live().version == third.version

    def test_starting_a_step_twice_is_harmless(self, it: ConfigDriver) -> None:
        """Invariant 2: after a call that was lost on its way the engine sends it again."""
        body = it.body()
        step, order = it.step(it.next(body)), it.order({digest_of(body): body})
        it.start(step, order)
        it.start(step, order)
        it.wait(step)
        there = it.live()
        it.start(step, order)
        assert it.settled(60.0) == there, "a step that has worked changed something"
        assert it.numbers()[:2] == [there.latest, there.latest - 1]

    def test_steps_say_what_will_be_true(self, it: ConfigDriver) -> None:
        """The engine waits for what a step ensures, and works the rest out again after a crash: pure, empty when nothing is left."""
        live, target = it.live(), it.next(it.body())
        steps = it.steps(live, target)
        assert steps, "nothing is planned, though another version is wanted"
        state = Live(f"config:{it.name}", document=live)
        for step in steps:
            assert step.document is not None
            assert (step.role, step.phase, step.document.name) == ("config", Phase.SHIFT, it.name)
            assert outstanding(step, state), "a step has nothing to do"
            assert neutralise(step.summary).isprintable()
            state = after(step, state)
        assert not document_differences(state.document, target), "after all steps it would not be as wanted"
        assert it.steps(state.document or live, target) == ()
        assert it.live() == live, "working steps out changed something"

    def test_steps_are_worked_out_without_any_call(self, it: ConfigDriver) -> None:
        """A plan is made again and again, of states that are no longer."""
        if it.bench.backend_calls is None:
            pytest.skip("the bench can't count the backend's calls")
        live, target = it.live(), it.next(it.body())
        before = it.bench.backend_calls()
        it.steps(live, target)
        it.call("limits", it.store.limits)
        it.call("scope", lambda: it.store.scope(it.name))
        assert it.bench.backend_calls() == before

    def test_a_change_of_mind_while_it_is_under_way(self, it: ConfigDriver) -> None:
        """Trap 10: an abort is carried out, at once or as soon as the backend takes it; never is it left where nobody wanted it."""
        first = it.publish(it.body())
        body = it.body()
        step = it.step(it.next(body))
        it.start(step, it.order({digest_of(body): body}))
        it.reach(first, {})
        it.bench.clock.sleep(step.seconds)
        assert not document_differences(it.settled(60.0), first), "it said that it was over, and then went on"

    def test_nobody_sees_half_of_it(self, it: ConfigDriver) -> None:
        """A manifest that names what is not there yet, a version that is there in part: a poller would see it some day."""
        seen: list[LiveDocument] = []

        def look() -> None:
            live = it.live()
            assert live.version is not None, "in between nothing is published"
            assert digest_of(it.read(live.version)) == live.digest, "what is published is not what is read"
            assert live.latest >= live.version
            assert live.share == WHOLE or live.before is not None
            seen.append(live)

        with it.meanwhile(look):
            for _ in range(_ROUNDS):
                it.publish(it.body())
        numbers = [live.version or 0 for live in seen]
        assert numbers == sorted(numbers), "an older version was seen after a newer one"
        assert seen, "nobody looked"

    # Growth.

    def test_a_share_grows_and_is_read_back(self, it: ConfigDriver) -> None:
        """Trap 15, for clients: each share that the store can express is what it reports, with who reads what beside it."""
        limits = it.limits
        if not limits.growth:
            target = it.next(it.body(), share=WHOLE // 2, before=it.published())
            with pytest.raises((BackendError, UsageError)):
                it.steps(it.live(), target)
            return
        grain, old, body = limits.share_granularity, it.published(), it.body()
        for share in dict.fromkeys((grain, WHOLE // 5 // grain * grain, WHOLE // 2 // grain * grain, WHOLE - grain, WHOLE)):
            target = Document(it.name, old.latest + 1, digest_of(body), share, old.version, old.digest)
            live = it.reach(target, {digest_of(body): body})
            assert live.share == share
            if share < WHOLE:
                assert (live.before, live.before_digest) == (old.version, old.digest)
        assert it.numbers()[0] == old.latest + 1, "growing added versions"

    def test_a_growing_version_goes_back(self, it: ConfigDriver) -> None:
        """A guard that fails at 20 %: all clients read the version before again, and nothing of the growth stays."""
        if not it.limits.growth:
            pytest.skip("this store publishes to all clients at once")
        old, body = it.published(), it.body()
        share = max(it.limits.share_granularity, WHOLE // 5 // it.limits.share_granularity * it.limits.share_granularity)
        it.reach(Document(it.name, old.latest + 1, digest_of(body), share, old.version, old.digest), {digest_of(body): body})
        assert old.version is not None
        live = it.reach(Document(it.name, old.version, old.digest), {})
        assert (live.version, live.share) == (old.version, WHOLE)

    def test_shares_between_two_steps_are_refused_by_steps(self, it: ConfigDriver) -> None:
        """Invariant 3: what can't be expressed is refused in the plan, never rounded in silence."""
        grain = it.limits.share_granularity
        assert 1 <= grain <= WHOLE
        wrong = [-1, WHOLE + 1, *([1, grain + 1] if grain > 1 else [])]
        for share in wrong:
            with pytest.raises((BackendError, UsageError)):
                it.steps(it.live(), it.next(it.body(), share=share, before=it.published()))

    # Who may.

    def test_an_old_fence_token_changes_nothing(self, it: ConfigDriver) -> None:
        """A driver that lost its lease may come out of a call that hung: only the store can stop it then."""
        if not it.bench.fenced:
            pytest.skip("this store can't keep a fence token in the same section as the effect")
        old, newest, body = it.published(), it.newest_fence(), it.body()
        step = it.step(it.next(body))
        it.start(step, it.order({digest_of(body): body}, newest))
        it.wait(step)
        was = it.live()
        late = it.body()
        assert old.version is not None
        for target in (it.next(late), Document(it.name, old.version, old.digest)):
            with pytest.raises(Conflict):
                it.start(it.step(target), it.order({digest_of(late): late}, newest - 1))
        assert it.settled(60.0) == was, "a step with an old token changed what is published"
        assert it.numbers()[0] == was.latest, "a step with an old token added a version"

    def test_the_newest_fence_token_is_good_for_several_steps(self, it: ConfigDriver) -> None:
        """One lease, one token, many steps: equal is not older."""
        token = it.newest_fence()
        for _ in range(2):
            body = it.body()
            step = it.step(it.next(body))
            it.start(step, it.order({digest_of(body): body}, token))
            it.wait(step)

    def test_the_scope_of_a_document_is_always_the_same(self, it: ConfigDriver) -> None:
        """The lease is taken on it before anything is asked: two names for one thing are two drivers on it (invariant 4)."""
        scopes = {it.call("scope", lambda: it.store.scope(it.name)) for _ in range(3)}
        it.publish(it.body())
        scopes.add(it.call("scope", lambda: it.store.scope(it.name)))
        assert len(scopes) == 1, f"the document has the scopes {sorted(scopes)}"
        assert scopes.pop(), "the scope has no name"

    # What is refused.

    def test_too_large_is_refused(self, it: ConfigDriver) -> None:
        """A document that is cut off, or that the store takes and clients do not."""
        most = it.limits.most_bytes
        assert most > 0
        self._refused(it, b'"' + b"x" * (most - 1) + b'"')
        body = b'"' + b"x" * (most - 2) + b'"'
        assert it.read(it.publish(body).version) == body

    def test_an_empty_document_is_refused(self, it: ConfigDriver) -> None:
        """Trap 32: a client took an empty body for a configuration."""
        self._refused(it, b"")

    def test_bytes_that_are_not_those_of_the_version_are_refused(self, it: ConfigDriver) -> None:
        """Whatever mixed them up: what was reviewed is what is published."""
        body, digest = it.body(), digest_of(it.body())
        self._refused(it, body, digest)
        self._refused(it, None, digest_of(it.body()))

    def _refused(self, it: ConfigDriver, body: bytes | None, digest: str = "") -> None:
        was = it.settled(60.0)
        wanted = digest or digest_of(body or b"")
        with pytest.raises(BackendError):
            it.start(it.step(Document(it.name, was.latest + 1, wanted)), it.order({} if body is None else {wanted: body}))
        assert it.settled(60.0) == was, "what was refused is published"
        assert it.numbers()[0] == was.latest, "what was refused is a version now"

    # What is not there, and who is told.

    def test_what_is_not_there_is_not_found(self, it: ConfigDriver) -> None:
        """A wrong name is told from a store that is down: other exit codes, other next steps."""
        live = it.call("report", lambda: it.store.report(_NOBODY)).document
        assert (live.name, live.version, live.latest) == (_NOBODY, None, 0)
        assert tuple(it.call("versions", lambda: it.store.versions(_NOBODY))) == ()
        for name, number in ((_NOBODY, 1), (it.name, it.live().latest + 1), (it.name, 0)):
            with pytest.raises(NotFound):
                it.call("read", partial(it.store.read, name, number))

    def test_documents_are_listed(self, it: ConfigDriver) -> None:
        """The screen shows what there is, whoever made it."""
        names = list(it.call("list", it.store.list))
        assert it.name in names
        assert _NOBODY not in names
        assert len(set(names)) == len(names)

    def test_limits_make_sense(self, it: ConfigDriver) -> None:
        """*Everywhere by* is told to people from them."""
        limits = it.limits
        assert limits.poll_lag >= 0
        assert WHOLE % limits.share_granularity == 0, "the last step of a growth would not be whole"

    def test_foreign_text_is_data(self, it: ConfigDriver) -> None:
        """Invariant 11: a store's words may hold anything; they are texts, and they can be made harmless."""
        report = it.call("report", lambda: it.store.report(it.name))
        for text in (report.reason, report.document.publication, report.document.digest):
            assert isinstance(text, str)
            assert neutralise(text).isprintable()
        assert report.transition is Transition.SETTLED
