"""What an endpoint should be next: pure rules, among them which release a revert leads to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidTraffic, UnknownName, UsageError
from mlconsole.core.models import Actor
from mlconsole.core.releases import NOTHING, Content, Release, ReleaseKind, Standing, Variant, describe_content
from mlconsole.core.traffic import WHOLE, Shadow, Traffic
from mlconsole.core.transitions import check_limits, deployed, removed, revert_target, shared, slice_cleared

DE = ("language", "de")


def variant(name: str, digest: str = "") -> Variant:
    return Variant(name, "relevance", name.removeprefix("v"), f"sha256:{digest or name}")


def content(shadow: Shadow | None = None, **shares: int) -> Content:
    return Content(tuple(variant(name) for name in shares), Traffic(shares, (), shadow))


def test_the_first_version_gets_everything() -> None:
    assert deployed(NOTHING, variant("v3"), None) == content(v3=WHOLE)
    assert deployed(NOTHING, variant("v3"), WHOLE) == content(v3=WHOLE)
    with pytest.raises(InvalidTraffic, match="gets 100 %, not 10 %"):
        deployed(NOTHING, variant("v3"), 1000)


def test_the_next_one_stands_by_or_takes_its_share() -> None:
    assert deployed(content(v3=WHOLE), variant("v4"), None) == content(v3=WHOLE, v4=0)
    assert deployed(content(v3=WHOLE), variant("v4"), 1000) == content(v3=9000, v4=1000)
    assert deployed(content(v3=6000, v4=4000), variant("v5"), 1000).traffic == Traffic({"v3": 5400, "v4": 3600, "v5": 1000})
    assert deployed(content(v3=9000, v4=1000), variant("v4"), 5000) == content(v3=5000, v4=5000)
    assert deployed(content(v3=9000, v4=1000), variant("v4"), None) == content(v3=9000, v4=1000)


def test_a_name_means_the_same_bytes() -> None:
    """The identity of a variant is the artifact's digest, never its name."""
    with pytest.raises(UsageError, match="other bytes"):
        deployed(content(v3=WHOLE), variant("v3", "others"), 1000)


def test_a_shadow_that_gets_requests_is_no_shadow_any_more() -> None:
    after = deployed(content(Shadow("v4", 2000), v3=WHOLE, v4=0), variant("v4"), 1000)
    assert after == content(v3=9000, v4=1000)
    beside = deployed(content(Shadow("v4", 2000), v3=WHOLE, v4=0), variant("v5"), 1000)
    assert beside.traffic is not None
    assert beside.traffic.shadow == Shadow("v4", 2000)


def test_a_slice_of_its_own_and_back() -> None:
    now = content(v3=WHOLE, v4=0)
    own = shared(now, {"v4": WHOLE}, DE)
    assert own.traffic is not None
    assert own.traffic.slice_split(*DE) == {"v3": 0, "v4": WHOLE}
    assert own.traffic.split == {"v3": WHOLE, "v4": 0}
    assert own.traffic.slice_split("language", "en") == own.traffic.split
    assert slice_cleared(own, *DE) == now
    with pytest.raises(UsageError, match=r"language=pl has no split of its own\. Did you mean language=de\?"):
        slice_cleared(own, "language", "pl")
    with pytest.raises(InvalidTraffic, match="not by several at once"):
        shared(own, {"v4": WHOLE}, ("country", "at"))


def test_a_shadow_is_set_moved_and_ended() -> None:
    now = content(v3=WHOLE, v4=0, v5=0)
    one = shared(now, {}, shadow=Shadow("v4", 2000))
    assert shared(one, {}, shadow=Shadow("v5", 1000)) == content(Shadow("v5", 1000), v3=WHOLE, v4=0, v5=0)
    assert shared(one, {"v5": 1000}).traffic == Traffic({"v3": 9000, "v4": 0, "v5": 1000}, (), Shadow("v4", 2000)), "left out, it stays"
    assert shared(one, {}, end_shadow=True) == now
    assert shared(one, {}, shadow=Shadow("v4", 0)) == now
    with pytest.raises(InvalidTraffic, match="End the shadow in the same command"):
        shared(one, {"v4": 1000})
    assert shared(one, {"v4": 1000}, end_shadow=True) == content(v3=9000, v4=1000, v5=0)


def test_removing() -> None:
    now = content(Shadow("v5", 1000), v3=9000, v4=1000, v5=0)
    with pytest.raises(UsageError, match=r"v4 still answers requests \(10 % of all\)\. Nothing was removed\. First take its traffic away"):
        removed(now, "v4")
    with pytest.raises(UsageError, match=r"v5 is the shadow"):
        removed(now, "v5")
    with pytest.raises(UnknownName, match=r'no variant "v6" here\. Did you mean'):
        removed(now, "v6")
    with pytest.raises(UsageError, match="only variant"):
        removed(content(v3=WHOLE), "v3")
    assert removed(content(v3=9000, v4=1000, v5=0), "v5") == content(v3=9000, v4=1000)
    sliced = shared(content(v3=WHOLE, v4=0), {"v4": WHOLE}, DE)
    with pytest.raises(UsageError, match="still answers"):
        removed(sliced, "v4")


def test_nothing_can_be_shared_where_nothing_serves() -> None:
    with pytest.raises(UsageError, match="serves nothing yet"):
        shared(NOTHING, {"v3": WHOLE})


# Which release a revert leads to.

DEPLOY, TRAFFIC, REVERT = ReleaseKind.DEPLOY, ReleaseKind.TRAFFIC, ReleaseKind.REVERT
PAST, LIVE, FAILED, REVERTED = Standing.PAST, Standing.LIVE, Standing.FAILED, Standing.REVERTED


def history(*entries: tuple[ReleaseKind, Standing] | tuple[ReleaseKind, Standing, Content]) -> list[tuple[Release, Standing]]:
    """Releases #1, #2, … as given, newest first as the registry gives them."""
    made = []
    for number, (kind, standing, *rest) in enumerate(entries, 1):
        held = rest[0] if rest else content(v3=WHOLE)
        release = Release("staging", "relevance", number, held, kind, datetime(2026, 1, 5, tzinfo=UTC), Actor("anna", "b"), equals=1)
        made.append((release, standing))
    return made[::-1]


@pytest.mark.parametrize(
    ("entries", "leads_to"),
    [
        ([(DEPLOY, LIVE)], None),
        ([(DEPLOY, PAST), (TRAFFIC, LIVE)], 1),
        # What failed, and what was gone back from, never stood by itself.
        ([(DEPLOY, PAST), (DEPLOY, FAILED), (TRAFFIC, LIVE)], 1),
        ([(DEPLOY, PAST), (DEPLOY, REVERTED), (REVERT, PAST), (TRAFFIC, LIVE)], 3),
        # A failed change on top changes nothing about where the live one leads.
        ([(DEPLOY, PAST), (TRAFFIC, LIVE), (TRAFFIC, FAILED)], 1),
        ([(DEPLOY, PAST), (TRAFFIC, LIVE), (TRAFFIC, Standing.PENDING)], 1),
        # A deletion is nothing to go back to; from one, it leads to what was there.
        ([(DEPLOY, PAST), (ReleaseKind.DELETE, PAST, NOTHING), (DEPLOY, LIVE)], 1),
        ([(DEPLOY, PAST), (ReleaseKind.DELETE, LIVE, NOTHING)], 1),
        ([(ReleaseKind.AS_FOUND, PAST), (DEPLOY, LIVE)], 1),
        ([(DEPLOY, PAST), (ReleaseKind.KEPT, LIVE)], 1),
        ([(DEPLOY, FAILED)], None),
        ([], None),
    ],
)
def test_the_revert_target(entries: list[tuple[ReleaseKind, Standing]], leads_to: int | None) -> None:
    """Trap 17 and issue 2: the last release before the live one that stood by itself."""
    found = revert_target(history(*entries))
    assert (found.number if found else None) == leads_to


def test_a_second_revert_in_a_row_asks() -> None:
    entries = [(DEPLOY, PAST), (ReleaseKind.DELETE, PAST, NOTHING), (DEPLOY, PAST), (TRAFFIC, REVERTED), (REVERT, LIVE)]
    with pytest.raises(UsageError, match=r"#5 is a revert already .*--to RELEASE, one of #3, #1 ") as told:
        revert_target(history(*entries))
    assert "#2" not in told.value.next, "a deletion is offered as something to go back to"


@given(st.lists(st.tuples(st.sampled_from([DEPLOY, TRAFFIC, REVERT]), st.sampled_from([PAST, FAILED, REVERTED])), max_size=12))
def test_a_revert_never_leads_to_what_did_not_stand(entries: list[tuple[ReleaseKind, Standing]]) -> None:
    found = revert_target(history(*entries, (TRAFFIC, LIVE)))
    stood = [number for number, (_, standing) in enumerate(entries, 1) if standing is PAST]
    assert (found.number if found else None) == (stood[-1] if stood else None)


# What a backend can't express.

LIMITS = {"granularity": 100, "slices": False, "shadow": False, "variant_pattern": "[a-z0-9]+", "most_variants": 2}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (content(v3=9950, v4=50), "steps of 1 %; 99.5 % is between two of them"),
        (shared(content(v3=WHOLE, v4=0), {"v4": WHOLE}, DE), "can't split by slice"),
        (content(Shadow("v4", 100), v3=WHOLE, v4=0), "no shadow traffic"),
        (content(**{"v-3": WHOLE}), "can't take 'v-3' as a variant's name"),
        (content(v3=WHOLE, v4=0, v5=0), "3 variants; this backend takes 2"),
    ],
)
def test_limits(wanted: Content, why: str) -> None:
    """Invariant 3: what a backend can't express is refused in the plan, before anything is touched."""
    with pytest.raises(UsageError, match=why):
        check_limits(wanted, **LIMITS)  # type: ignore[arg-type]
    check_limits(NOTHING, **LIMITS)  # type: ignore[arg-type]


def test_a_content_in_one_line() -> None:
    assert describe_content(NOTHING) == "nothing"
    assert describe_content(content(v3=WHOLE)) == "v3 100 %"
    assert describe_content(content(v3=9000, v4=1000)) == "v3 90 · v4 10"
    assert describe_content(content(Shadow("v5", 2000), v3=WHOLE, v4=0, v5=0)) == "v3 100 % · shadow v5 20 % · v4 at 0"
    assert describe_content(shared(content(v3=WHOLE, v4=0), {"v4": WHOLE}, DE)) == "v3 100 · v4 0 · de: v4 100"
