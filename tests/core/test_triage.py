"""Triage: what would help and what would not, by rule, on the project's own two stories and what lies between; and the words of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.alarms import Acknowledgement, Alarm, AlarmState, Finding
from mlconsole.core.facts import Change, EndpointFacts, Event, Facts, ProbeFact, Target
from mlconsole.core.health import Figures, Question
from mlconsole.core.models import Actor
from mlconsole.core.pages import FIRST, WIDTH, PageFacts, page, words_for
from mlconsole.core.text import neutralise
from mlconsole.core.triage import title, triage

SINCE = datetime(2026, 3, 14, 8, 52, 10).astimezone()
NOW = SINCE + timedelta(minutes=22)
LANGUAGES = tuple(f"language={name}" for name in ("de", "en", "fr", "pl"))


def finding(
    endpoint: str = "relevance",
    question: Question = Question.IDENTICAL,
    slices: Sequence[str] = LANGUAGES,
    variants: Sequence[str] = ("v6",),
    since: datetime = SINCE,
    text: str = "100 % same (47 of 47 inputs), usual 3 %, all 0.73",
    subject: str = "",
) -> Finding:
    return Finding(question, endpoint, tuple(variants), tuple(slices), since, since, text, subject=subject)


def alarm(*findings: Finding, environment: str = "production", number: int = 31) -> Alarm:
    return Alarm(number, environment, AlarmState.FIRING, SINCE + timedelta(seconds=50), findings)


OLD = Change(SINCE - timedelta(days=5), "#42 v6", "anna", "relevance", ("v6",))
REDIS = ProbeFact("redis-embeddings", False, "0 keys, wanted at least 1 000 000", SINCE - timedelta(minutes=4),
                  ("relevance", "category"), "refill-embeddings", "about 6 min, and checks it")  # fmt: skip
BACK = Target(41, "v5 100 %", False, 540, ("redis-embeddings",))


def endpoint(name: str = "relevance", **changes: object) -> EndpointFacts:
    there = EndpointFacts(
        name,
        {"v6": ("relevance@6", 1.0)},
        LANGUAGES,
        now=Figures(errors=0.002, p95=31, same=1.0, over=1.0),
        usual=Figures(errors=0.002, p95=31, same=0.03, over=0.002),
        wrong=1148,
        over=1148,
        over_usual=2,
        last_change=OLD,
        target=BACK,
    )
    return replace(there, **changes)  # type: ignore[arg-type]


SATURDAY = Facts(
    alarm(finding(), finding("category", since=SINCE + timedelta(seconds=20))),
    NOW,
    {"relevance": endpoint(), "category": endpoint("category", wrong=0, over=None)},
    Change(SINCE - timedelta(days=5), "config 118", "tomek", "severity"),
    [Event(SINCE - timedelta(minutes=4), "probe", "redis-embeddings 1 214 883 → 0 keys")],
    [REDIS],
    well=7,
)


def test_the_saturday_is_told_as_it_was() -> None:
    told = triage(SATURDAY)
    assert told.title == "ALL PREDICTIONS IDENTICAL"
    assert told.revert_helps is False
    assert told.revert == (
        "would NOT help: nothing was released for 5 d before it, 2 endpoints broke in the same minute, "
        "and v5 100 % depends on redis-embeddings too, which fails."
    )
    assert (told.fix, told.fix_told, told.effect) == ("refill-embeddings", "about 6 min, and checks it", 1148)
    assert told.ordinary == "errors 0.2 %, p95 31 ms: every ordinary alarm says OK"
    assert dict(told.lines) == {
        "since": "08:52:10 · 100 % same (47 of 47 inputs), usual 3 %, all 0.73",
        "versions": "relevance v6 ✖  the only one that answers · category v6 ✖  the only one that answers",
        "languages": "de ✖  en ✖  fr ✖  pl ✖   all of them",
        "endpoints": "relevance ✖  category ✖   same minute",
        "dependency": "redis-embeddings failing: 0 keys, wanted at least 1 000 000, since 08:48; relevance and category depend on it",
        "usual": "relevance 3 % equal, 0.2 % over threshold. Now 100 %, 100 %; category 3 % equal, 0.2 % over threshold. Now 100 %, 100 %",
        "effect": "relevance 1 148 predictions were wrong, 1 148 decisions over the threshold (usual: 2)",
        "last change": "5 d ago (#42 v6 by anna)   not this",
        "just before": "08:48 redis-embeddings 1 214 883 → 0 keys",
    }


NEW = Change(SINCE - timedelta(minutes=5), "#43 v6 → v7", "anna", "relevance", ("v7",))
WARM = Target(42, "v6 100 %", True, 70)
SPLIT = {"v6": ("relevance@6", 0.9), "v7": ("relevance@7", 0.1)}


def of_language(**changes: object) -> Facts:
    """German fails on the version that has just come."""
    found = finding(question=Question.ERRORS, slices=["language=de"], variants=["v7"], text="100 % (9 of 9), usual 0.2 %")
    given = {"serving": SPLIT, "last_change": NEW, "target": WARM, "wrong": 9, "over": None,
             "fine": frozenset({"v6", "language=en", "language=fr"}), **changes}  # fmt: skip
    return Facts(alarm(found), NOW, {"relevance": endpoint(**given)}, well=8)


def test_a_version_that_alone_fails_is_what_going_back_helps_against() -> None:
    told = triage(of_language())
    assert (told.title, told.revert_helps) == ("errors in de", True)
    assert told.revert == "would help: only v7 fails, which #43 v6 → v7 brought; v6 is fine."
    lines = dict(told.lines)
    assert lines["versions"] == "v6 ✔ 90 %  v7 ✖ 10 %"
    assert lines["languages"] == "de ✖  en ✔  fr ✔  pl ?"
    assert lines["endpoints"] == "relevance only; 8 others are well"
    assert lines["effect"] == "9 requests failed"
    assert lines["last change"] == "5 min before (#43 v6 → v7 by anna)   most likely this"


def test_the_new_version_alone_is_enough_however_long_ago_it_came() -> None:
    assert triage(of_language(last_change=replace(NEW, at=SINCE - timedelta(days=2)))).revert_helps is True


def test_a_release_shortly_before_is_enough_without_knowing_the_version() -> None:
    told = triage(of_language(fine=frozenset()))
    assert (told.revert_helps, told.revert) == (True, "would help: #43 v6 → v7 went live 5 min before it began.")
    outside = triage(of_language(fine=frozenset(), last_change=replace(NEW, outside=True)))
    assert outside.revert == "would help: it was changed outside 5 min before it began."


@pytest.mark.parametrize(("minutes", "helps"), [(0, True), (15, True), (15.1, False), (-0.9, True), (-1.1, False)])
def test_the_edges_of_shortly_before(minutes: float, helps: bool) -> None:
    change = replace(NEW, at=SINCE - timedelta(minutes=minutes))
    assert triage(of_language(fine=frozenset(), last_change=change)).revert_helps is helps


def test_a_change_after_it_began_is_not_the_cause() -> None:
    told = triage(of_language(last_change=replace(NEW, at=SINCE + timedelta(minutes=3))))
    assert told.revert == "would NOT help: it began before the last change."
    assert dict(told.lines)["last change"] == "3 min after it began (#43 v6 → v7 by anna)   not this"


def test_a_release_does_not_explain_another_endpoint_that_broke_in_the_same_minute() -> None:
    facts = replace(of_language(fine=frozenset()), others={"category": SINCE + timedelta(seconds=30)})
    told = triage(facts)
    assert (told.revert_helps, told.revert) == (
        None, "can't be told: #43 v6 → v7 went live 5 min before it began, but 2 endpoints broke in the same minute.")  # fmt: skip
    later = replace(facts, others={"category": SINCE + timedelta(seconds=90)})
    assert triage(later).revert_helps is True


def test_a_target_that_needs_the_same_dependency_helps_nobody_even_after_a_release() -> None:
    facts = of_language(target=replace(WARM, depends=("redis-embeddings",)))
    told = triage(replace(facts, probes=[REDIS]))
    assert (told.revert_helps, told.revert) == (False, "would NOT help: v6 100 % depends on redis-embeddings too, which fails.")
    assert triage(replace(facts, probes=[replace(REDIS, ok=True)])).revert_helps is True
    assert triage(replace(facts, probes=[replace(REDIS, since=SINCE + timedelta(minutes=2))])).revert_helps is True


def test_where_nothing_is_known_nothing_is_said() -> None:
    told = triage(of_language(fine=frozenset(), last_change=None, history=False))
    assert (told.revert_helps, told.revert) == (None, "can't be told: what was released before it is not known.")
    assert triage(of_language(target=None)).revert == "would NOT help: there is nothing to go back to."


def test_of_several_endpoints_the_one_that_it_helps_is_named() -> None:
    facts = replace(
        of_language(), alarm=alarm(*of_language().alarm.findings, finding("category", Question.LATENCY, since=SINCE - timedelta(minutes=9)))
    )
    facts = replace(facts, endpoints={**facts.endpoints, "category": endpoint("category")})
    assert triage(facts).revert.startswith("relevance: would help: only v7 fails")


def test_dependencies_and_watchers_are_no_releases() -> None:
    dependency = finding("", Question.DEPENDENCY, [""], [], subject="redis-embeddings", text="0 keys")
    told = triage(Facts(alarm(dependency), NOW, probes=[REDIS]))
    assert (told.title, told.revert, told.fix) == (
        "redis-embeddings failing", "would NOT help: a dependency fails, not a release.", "refill-embeddings")  # fmt: skip
    unread = triage(Facts(alarm(finding("", Question.WATCHER, [""], [], subject="predictions")), NOW))
    assert (unread.title, unread.revert_helps) == ("predictions can't be read", False)
    watcher = triage(Facts(alarm(finding("", Question.WATCHER, [""], [])), NOW))
    assert (watcher.title, watcher.revert_helps, watcher.fix) == ("nobody watches", False, "")
    bare = triage(Facts(alarm(dependency), NOW, probes=[replace(REDIS, repair="")]))
    assert bare.fix_told == "redis-embeddings fails, and no repair of it is named in mlconsole.yaml"


@pytest.mark.parametrize(
    ("question", "slices", "known", "told"),
    [
        (Question.IDENTICAL, [""], LANGUAGES, "ALL PREDICTIONS IDENTICAL"),
        (Question.IDENTICAL, ["language=de"], LANGUAGES, "IDENTICAL PREDICTIONS in de"),
        (Question.ERRORS, ["", "language=de"], LANGUAGES, "errors in de"),
        (Question.ERRORS, ["", *LANGUAGES], LANGUAGES, "errors"),
        (Question.ERRORS, ["language=de", "language=pl", "site=a"], (*LANGUAGES, "site=a"), "errors in de, pl"),
        (Question.ERRORS, ["language=de"], (), "errors in de"),
        (Question.SILENT, ["language=de"], LANGUAGES, "de fell silent"),
        (Question.SILENT, [""], LANGUAGES, "fell silent"),
        (Question.LATENCY, ["other"], ("other", *LANGUAGES), "slow"),
    ],
)
def test_titles(question: Question, slices: list[str], known: Sequence[str], told: str) -> None:
    assert title(alarm(finding(question=question, slices=slices)), {"relevance": known}) == told


FACTS = PageFacts(NOW, "bastion", ("tomek", NOW + timedelta(minutes=10)), told=("paged ops 08:53",))


def test_the_page_of_saturday() -> None:
    told, lines = page(SATURDAY.alarm, triage(SATURDAY), FACTS)
    assert told == "PROD relevance + category: ALL IDENTICAL since 08:52"
    assert lines == (
        "every language · 100 % same (47 of 47 inputs), usual 3 %, all 0.73",
        "relevance 1 148 predictions were wrong, 1 148 decisions over the threshold (usual: 2)",
        "not a release: last change 5 d ago (#42 v6 by anna)",
        "just before: 08:48 redis-embeddings 1 214 883 → 0 keys",
        "revert would not help. Fix: ssh -t bastion mlconsole action run refill-embeddings --env production",
        "take it: ssh bastion mlconsole health ack 31 --env production   ·   next page: tomek 09:24",
    )


def test_a_dependency_that_failed_first_does_not_move_the_time_of_what_names_the_alarm() -> None:
    probe = finding(question=Question.DEPENDENCY, slices=[""], since=SINCE - timedelta(minutes=4), subject="redis-embeddings")
    facts = replace(SATURDAY, alarm=alarm(probe, *SATURDAY.alarm.findings))
    assert triage(facts) == triage(SATURDAY)
    assert page(facts.alarm, triage(facts), FACTS) == page(SATURDAY.alarm, triage(SATURDAY), FACTS)


def test_where_a_revert_helps_the_page_has_its_command() -> None:
    facts = of_language()
    told, lines = page(facts.alarm, triage(facts), replace(FACTS, host="", next_page=None))
    assert told == "PROD relevance: errors in de since 08:52"
    assert "most likely a release: 5 min before (#43 v6 → v7 by anna)" in lines
    assert "Go back: mlconsole revert relevance --env production" in lines
    assert lines[-1] == "take it: mlconsole health ack 31 --env production"


def test_what_follows_the_page() -> None:
    told = triage(SATURDAY)
    joined = words_for("joined:identical:category", SATURDAY.alarm, told, FACTS)
    assert (joined.severity, joined.lines[0]) == ("page", "alarm 31 grew: category identical")
    second = words_for("second", SATURDAY.alarm, told, FACTS)
    assert second.lines[0] == "nobody has taken it for 21 min (paged ops 08:53)"
    later = words_for("second", SATURDAY.alarm, told, replace(FACTS, waited=600.0))
    assert later.lines[0] == "nobody has taken it for 10 min (paged ops 08:53)"
    has = replace(SATURDAY.alarm, acknowledged=Acknowledgement(Actor("anna", "bastion"), NOW, "refilling redis\x1b"))
    taken = words_for("acknowledged", has, told, FACTS)
    assert (taken.title, taken.severity) == ("PROD relevance + category: anna has it", "info")
    assert taken.lines[1] == "“refilling redis\\x1b”"
    recovering = replace(SATURDAY.alarm, state=AlarmState.RECOVERING, recovering=NOW)
    assert words_for("recovering", recovering, told, FACTS).severity == "info"
    closed = replace(recovering, state=AlarmState.CLOSED, closed=NOW + timedelta(minutes=5))
    over = words_for("closed", closed, told, replace(FACTS, now=NOW + timedelta(minutes=5)))
    assert (over.title, over.severity) == ("PROD relevance + category: well again since 09:14", "recovered")
    assert over.lines == (
        "alarm 31, was: ALL PREDICTIONS IDENTICAL, since 08:52",
        "every slice is proven well again, closed 09:19",
        "1 148 predictions were wrong. Their ids: ssh bastion mlconsole health affected 31 --csv --env production",
    )
    by_hand = words_for("closed", replace(closed, closed_by="anna@b: a drill"), told, FACTS)
    assert by_hand.title == "PROD relevance + category: closed by hand at 09:19"
    again = words_for("again:2026-03-14T09", recovering, told, FACTS)
    assert again.lines[0] == "alarm 31 again: it seemed to be over since 09:14"


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)


@given(
    names,
    st.lists(names, min_size=0, max_size=5, unique=True),
    st.lists(names, max_size=5),
    names,
    st.sampled_from(list(Question)[:6]),
    names,
)
def test_a_title_says_it_all_and_foreign_text_is_harmless(
    environment: str, endpoints: list[str], slices: list[str], text: str, question: Question, host: str
) -> None:
    found = [finding(one, question, [f"language={name}" for name in slices] or [""], text=text) for one in endpoints]
    raised = alarm(*(found or [finding("", Question.DEPENDENCY, [""], subject=text)]), environment=environment)
    facts = Facts(
        raised,
        NOW,
        {one: endpoint(one, slices=()) for one in endpoints},
        events=[Event(SINCE, "probe", text)],
        probes=[replace(REDIS, text=text)],
    )
    told = triage(facts)
    for key in ("opened", "second", "joined:errors:x", "again:x", "recovering", "closed", "acknowledged"):
        words = words_for(key, raised, told, replace(FACTS, host=host))
        assert len(words.title) <= FIRST
        assert key not in ("opened", "second") or words.title.endswith("since 08:52")
        for line in (words.title, *words.lines, told.revert, *(value for _, value in told.lines)):
            assert neutralise(line) == line
        for line in words.lines:
            assert len(line) <= WIDTH or "mlconsole " in line


def test_lines_are_in_the_order_in_which_they_are_read() -> None:
    order = ["since", "versions", "languages", "endpoints", "dependency", "usual", "effect", "last change", "just before"]
    there = [order.index(name) for name, _ in triage(SATURDAY).lines]
    assert all(first < second for first, second in pairwise(there))
