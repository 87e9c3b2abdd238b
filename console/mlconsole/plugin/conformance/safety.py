"""Checks of what keeps a backend safe when things go wrong: fences, errors, threads, foreign text."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from mlconsole.core.live import Live, differences, fingerprint, short_digest
from mlconsole.core.releases import describe_content
from mlconsole.core.steps import Step
from mlconsole.core.text import neutralise
from mlconsole.core.traffic import WHOLE
from mlconsole.plugin.conformance.base import Checks
from mlconsole.plugin.conformance.bench import Driver
from mlconsole.plugin.errors import BackendError, Conflict, NotFound
from mlconsole.plugin.roles import Caller, Examples, HttpExample, Identity, Logs, Order

_NOBODY = "no-such-thing"


class SafetyChecks(Checks):
    """What every role has to keep when somebody else is at it, too."""

    def test_an_old_fence_token_changes_nothing(self, it: Driver) -> None:
        """A driver that lost its lease may still be running, or come out of a call that hung: only the backend can stop it then."""
        if not it.bench.fenced:
            it.skip("this backend can't keep a fence token in the same section as the effect")
        before = it.content(WHOLE, 0)
        it.reach(before)
        newest = it.newest_fence()
        target = it.content(WHOLE // 2, WHOLE // 2)
        for step in it.steps(it.live(), target):
            it.start(step, it.order(target, newest))
            it.wait(step)
        it.reach(target)
        was = fingerprint(it.live())
        for wanted in (before, it.content(0, WHOLE), it.content(WHOLE)):
            for step in it.steps(it.live(), wanted):
                self._out_of_date(it, step, it.order(wanted, newest - 1))
        it.bench.clock.sleep(it.bench.poll)
        assert fingerprint(it.settled(60.0)) == was, "a step with an old token changed the endpoint"
        it.reach(before)

    def _out_of_date(self, it: Driver, step: Step, order: Order) -> None:
        try:
            it.start(step, order)
        except Conflict:
            return
        except BackendError as error:
            raise AssertionError(f"an old token was not what {step.summary!r} was refused for: {error}") from error
        raise AssertionError(f"{step.summary!r} was taken with an old token")

    def test_the_newest_fence_token_is_good_for_several_steps(self, it: Driver) -> None:
        """One lease, one token, many steps: equal is not older."""
        target = it.content(WHOLE, 0)
        token = it.newest_fence()
        for step in it.steps(it.live(), target):
            it.start(step, it.order(target, token))
            it.wait(step)
            it.start(step, it.order(target, token))
        assert not differences(it.settled(60.0), target)

    def test_what_is_not_there_is_not_found(self, it: Driver) -> None:
        """A name that is wrong is told from a backend that is down: they have different exit codes and different next steps."""
        with pytest.raises(NotFound):
            it.ask()
        it.reach(it.content(WHOLE))
        with pytest.raises(NotFound):
            it.ask(_NOBODY)
        serving = it.bench.serving
        if not isinstance(serving, Logs):
            return
        name = it.variant(0).name
        lines = it.call("logs", lambda: serving.logs(it.endpoint, name, 5))
        assert len(lines) <= 5
        assert all(isinstance(line, str) for line in lines)
        for endpoint, variant in ((_NOBODY, name), (it.endpoint, _NOBODY)):
            with pytest.raises(NotFound):
                it.call("logs", partial(serving.logs, endpoint, variant, 5))

    def test_a_variant_can_be_described_from_many_threads(self, it: Driver) -> None:
        """The poller, the guardian and a person's command all look at once, and while something starts."""
        target = it.content(WHOLE)
        wrong: list[BaseException] = []
        over = threading.Event()

        def look() -> None:
            try:
                for _ in range(50):
                    assert isinstance(it.live(), Live)
                    if over.is_set():
                        return
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is told in the main thread
                wrong.append(error)

        threads = [threading.Thread(target=look, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            it.reach(target)
        finally:
            over.set()
            for thread in threads:
                thread.join(30.0)
        assert not wrong, f"describing in a second thread failed: {wrong[0]!r}"
        assert not any(thread.is_alive() for thread in threads), "describing in a second thread hangs"

    def test_foreign_text_is_data(self, it: Driver) -> None:
        """Invariant 11: a backend's words may hold anything; they are texts, and they can be made harmless."""
        live = it.reach(it.content(WHOLE))
        texts = [live.reason, live.url or "", live.release or ""]
        for variant in live.variants:
            texts += [variant.name, variant.reason, variant.model or "", variant.version or "", short_digest(variant.digest)]
            texts += [*variant.resources.keys(), *variant.resources.values()]
        for text in texts:
            assert isinstance(text, str), f"{text!r} is no text"
            assert neutralise(text).isprintable()
        for step in it.steps(live, it.content(0, WHOLE)):
            assert neutralise(step.summary).isprintable()
        assert neutralise(describe_content(it.content(WHOLE))).isprintable()

    def test_a_request_that_the_model_refuses_is_an_answer(self, it: Driver) -> None:
        """A model's 400 is a finding about the model; only silence is an error of the backend."""
        if it.bench.refused is None:
            it.skip("the bench has no request that is refused")
        it.reach(it.content(WHOLE))
        refused = it.bench.refused
        answer = it.call("invoke", lambda: it.bench.serving.invoke(it.endpoint, refused))
        assert answer.status >= 400, f"the model was to refuse, and answered {answer.status}"

    def test_who_calls_is_told(self, it: Driver) -> None:
        """A plan refuses to start where the credentials end before it does, so their end has to be a moment that can be compared."""
        serving = it.bench.serving
        if not isinstance(serving, Identity):
            it.skip("this backend does not know as whom it is asked")
        caller = it.call("identity", serving.identity)
        assert isinstance(caller, Caller)
        assert caller.name
        assert neutralise(str(caller)).isprintable()
        assert caller.expires is None or caller.expires.tzinfo is not None, "a time without a zone is another one elsewhere"

    def test_an_example_is_a_request(self, it: Driver) -> None:
        """What people copy into a shell has to be whole."""
        serving = it.bench.serving
        if not isinstance(serving, Examples):
            it.skip("this backend is not asked over plain HTTP")
        it.reach(it.content(WHOLE))
        example = it.call("example", lambda: serving.example(it.endpoint, it.bench.requests[0]))
        assert isinstance(example, HttpExample)
        assert example.method
        assert example.path.startswith("/")
