"""What an endpoint should be next: pure rules from the live release's content to the wanted one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlconsole.core.errors import InvalidTraffic, UnknownName, UsageError
from mlconsole.core.releases import NOTHING, Content, Release, ReleaseKind, Standing, Variant
from mlconsole.core.text import did_you_mean
from mlconsole.core.traffic import (
    WHOLE,
    Shadow,
    SliceSplit,
    Traffic,
    give,
    names_in,
    percent,
    set_shares,
    without,
)


def deployed(now: Content, variant: Variant, share: int | None) -> Content:
    """The content after `variant` was added. `share` (bp) None: it stands ready at 0 % on an endpoint that serves, gets all on a new one;
    else it gets that share and the others keep their proportions in the rest, in the split for all requests. Splits of slices stay.

    Raises:
        UsageError: the name is taken by other bytes.
        InvalidTraffic: nobody could take the rest.
    """
    taken = now.variant(variant.name)
    if taken is not None and taken.digest != variant.digest:
        raise UsageError(
            f'The name "{variant.name}" is taken by {taken.model}@{taken.version}, which is other bytes.',
            next="Give this one a name of its own: --variant NAME.",
        )
    variants = now.variants if taken else (*now.variants, variant)
    if now.traffic is None:
        if share not in (None, WHOLE):
            raise InvalidTraffic(
                f"The first variant of an endpoint gets 100 %, not {percent(share or 0)} %: nobody else could answer the rest.",
                next="Leave --traffic out.",
            )
        return Content(variants, Traffic({variant.name: WHOLE}))
    traffic = now.traffic
    if share is None:
        split = dict(traffic.split) if taken else {**traffic.split, variant.name: 0}
    else:
        split = give(traffic.split, variant.name, share)
    shadow = traffic.shadow
    if shadow and shadow.variant == variant.name and split[variant.name]:
        shadow = None  # it answers for itself now; a shadow gets copies only
    return Content(variants, replace(traffic, split=split, shadow=shadow))


def shared(
    now: Content,
    named: Mapping[str, int],
    slice_value: tuple[str, str] | None = None,
    shadow: Shadow | None = None,
    *,
    end_shadow: bool = False,
) -> Content:
    """The content after shares were set (`core.traffic.set_shares`), for all requests or for those of one slice value, and after a
    shadow was set, moved or ended. Left out, a shadow stays.

    Raises:
        InvalidTraffic: the shares make no sense.
        UsageError: the endpoint serves nothing.
    """
    traffic = _serving(now)
    split, by_slice = traffic.split, traffic.by_slice
    if named and slice_value is None:
        split = set_shares(split, named)
    elif named and slice_value is not None:
        key, value = slice_value
        own = set_shares({**dict.fromkeys(split, 0), **traffic.slice_split(key, value)}, named)
        others = tuple(entry for entry in by_slice if (entry.key, entry.value) != slice_value)
        by_slice = tuple(sorted((*others, SliceSplit(key, value, own)), key=lambda entry: (entry.key, entry.value)))
    kept = None if end_shadow else (shadow or traffic.shadow)
    if shadow is None and kept is not None and Traffic(split, by_slice).reaches(kept.variant):
        raise InvalidTraffic(
            f"{kept.variant} is the shadow and would now answer requests too; a shadow gets copies only.",
            next="End the shadow in the same command: --shadow none.",
        )
    if kept is not None and kept.sample == 0:
        kept = None
    return Content(now.variants, Traffic(split, by_slice, kept))


def slice_cleared(now: Content, key: str, value: str) -> Content:
    """The content after one slice value lost its own split: it is served like all the others again.

    Raises:
        UsageError: it has no split of its own.
    """
    traffic = _serving(now)
    kept = tuple(entry for entry in traffic.by_slice if (entry.key, entry.value) != (key, value))
    if len(kept) == len(traffic.by_slice):
        own = [f"{entry.key}={entry.value}" for entry in traffic.by_slice]
        raise UsageError(f"{key}={value} has no split of its own. {did_you_mean(f'{key}={value}', own)}")
    return Content(now.variants, replace(traffic, by_slice=kept))


def staged(now: Content, traffic: Traffic) -> Content:
    """The content after a whole staged traffic: the split for all requests, those of slices, and the shadow, at once. A slice's split that
    means the same as before stays as it is written.

    Raises:
        InvalidTraffic: a variant that is not there.
        UsageError: the endpoint serves nothing.
    """
    before = _serving(now)
    for name in sorted(names_in(traffic)):
        if name not in before.split:
            raise InvalidTraffic(f'There is no variant "{name}" here. {did_you_mean(name, before.split)}')
    known = {(entry.key, entry.value): entry for entry in before.by_slice}
    by_slice = []
    for entry in traffic.by_slice:
        old = known.get((entry.key, entry.value))
        own = {name: entry.split.get(name, 0) for name in before.split}
        unchanged = old is not None and {name: old.split.get(name, 0) for name in before.split} == own
        by_slice.append(old if old is not None and unchanged else SliceSplit(entry.key, entry.value, own))
    by_slice.sort(key=lambda entry: (entry.key, entry.value))
    shadow = traffic.shadow if traffic.shadow and traffic.shadow.sample else None
    return Content(now.variants, Traffic({name: traffic.share(name) for name in before.split}, tuple(by_slice), shadow))


def removed(now: Content, name: str) -> Content:
    """The content without one variant that nobody reaches.

    Raises:
        UnknownName: no such variant.
        UsageError: it still gets requests or copies, or it is the last one.
    """
    if now.variant(name) is None:
        raise UnknownName(f'There is no variant "{name}" here. {did_you_mean(name, now.names)}')
    traffic = _serving(now)
    if len(now.variants) == 1:
        raise UsageError(f"{name} is the only variant; without it there is no endpoint.", next="Remove the endpoint: endpoints delete.")
    if traffic.reaches(name):
        raise UsageError(
            f"{name} still answers requests ({percent(traffic.share(name))} % of all). Nothing was removed.",
            next=f"First take its traffic away: mlconsole traffic set … {name}=0.",
        )
    if traffic.shadow and traffic.shadow.variant == name:
        raise UsageError(f"{name} is the shadow and gets copies. Nothing was removed.", next="First end the shadow: --shadow none.")
    return Content(tuple(variant for variant in now.variants if variant.name != name), without(traffic, name))


def revert_target(history: Sequence[tuple[Release, Standing]]) -> Release | None:
    """Where `revert` without `--to` leads: the last release before the live one that stood by itself (not failed, not gone back from, not
    deleted). `history` is newest first. None: there is none.

    Raises:
        UsageError: the live release is a revert itself: which way a second one should lead, a person has to say.
    """
    live = next((release for release, standing in history if standing is Standing.LIVE), None)
    if live is None:
        return None
    if live.kind is ReleaseKind.REVERT:
        stood = [f"#{release.number}" for release, standing in history if _stood(release, standing, live)]
        one_of = f", one of {', '.join(stood[:5])}" if stood else ""
        raise UsageError(
            f"#{live.number} is a revert already (equal to #{live.equals}): a second one in a row needs to know where to.",
            next=f"Name it: --to RELEASE{one_of} (mlconsole releases list).",
        )
    return next((release for release, standing in history if _stood(release, standing, live)), None)


def _stood(release: Release, standing: Standing, live: Release) -> bool:
    return standing is Standing.PAST and release.number < live.number and release.content != NOTHING


def check_limits(
    content: Content,
    *,
    granularity: int,
    slices: bool,
    shadow: bool,
    variant_pattern: str,
    most_variants: int,
) -> None:
    """Refuse what a backend can't express, before anything is touched (invariant 3).

    Raises:
        InvalidTraffic: a share between its steps, a slice or a shadow where it has none.
        UsageError: a variant's name that it can't take, or too many variants.
    """
    for variant in content.variants:
        if not re.fullmatch(variant_pattern, variant.name):
            raise UsageError(
                f"The backend can't take {variant.name!r} as a variant's name (it has to match {variant_pattern}).",
                next="Give it another one: --variant NAME.",
            )
    if len(content.variants) > most_variants:
        raise UsageError(
            f"That would be {len(content.variants)} variants; this backend takes {most_variants} behind one endpoint.",
            next="Remove one first: endpoints remove.",
        )
    traffic = content.traffic
    if traffic is None:
        return
    if traffic.by_slice and not slices:
        raise InvalidTraffic("This backend splits all requests alike; it can't split by slice.")
    if traffic.shadow and not shadow:
        raise InvalidTraffic("This backend has no shadow traffic.")
    for share in [*traffic.split.values(), *(share for entry in traffic.by_slice for share in entry.split.values())]:
        if share % granularity:
            below = share - share % granularity
            raise InvalidTraffic(
                f"This backend splits in steps of {percent(granularity)} %; {percent(share)} % is between two of them.",
                next=f"{percent(below)} or {percent(min(WHOLE, below + granularity))} is possible.",
            )


def _serving(now: Content) -> Traffic:
    if now.traffic is None:
        raise UsageError("This endpoint serves nothing yet.", next="Deploy a version first: mlconsole deploy MODEL@VERSION.")
    return now.traffic
