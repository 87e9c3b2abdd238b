"""What is true of a config document without looking at its history: models, endpoints, fields, slices, shares, thresholds."""

from __future__ import annotations

from statistics import median

from mlconsole.core.configcase import PROBABILITY, REST, Case, look, passed, same_name, several, stop, together
from mlconsole.core.documents import WHOLE
from mlconsole.core.entries import SLICE, Spot, entry_at, shown
from mlconsole.core.findings import Finding
from mlconsole.core.pointers import join
from mlconsole.core.text import did_you_mean, nearest, neutralise
from mlconsole.core.traffic import percent


def models(case: Case) -> list[Finding]:
    """Whether every model exists, is there once, and answers where its entries point to."""
    found = []
    seen: dict[str, Spot] = {}
    firsts: dict[str, Spot] = {}
    for spot in case.spots:
        firsts.setdefault(spot.model, spot)
    for spot in firsts.values():
        twin = seen.setdefault(same_name(spot.model), spot)
        if twin is not spot:
            found.append(stop("model-twice", f"{_name(spot.model)} and {_name(twin.model)} are one model, twice", spot.group))
        elif case.known.models and spot.model not in case.known.models:
            text = f"there is no model {_name(spot.model)}. {did_you_mean(spot.model, case.known.models)}"
            found.append(stop("unknown-model", text.rstrip("."), spot.group))
    for spot, entry in case.entries:
        there = case.known.serving.get(entry.endpoint or "")
        if there and there.model and there.model != entry.model and entry.model in case.known.models:
            text = f"at {_name(entry.endpoint or '')} the model {there.model} answers, not {entry.model}"
            found.append(look("endpoint-model", text, case.at(spot, "endpoint")))
    return found


def endpoints(case: Case) -> list[Finding]:
    """Whether the endpoints, and the variants that splits name, exist in this environment."""
    found = []
    asked = False
    for spot, entry in case.entries:
        if entry.endpoint is not None and case.known.endpoints is not None:
            asked = True
            if entry.endpoint not in case.known.endpoints:
                text = f"there is no endpoint {_name(entry.endpoint)} here. {did_you_mean(entry.endpoint, case.known.endpoints)}"
                found.append(stop("unknown-endpoint", text.rstrip("."), case.at(spot, "endpoint")))
        variants = case.known.variants.get(entry.endpoint or "")
        for name in entry.split or () if variants is not None else ():
            if name not in (variants or ()) and name not in (case.known.endpoints or ()):
                text = f"{entry.endpoint} has no variant {_name(name)}. {did_you_mean(name, variants or ())}"
                found.append(stop("unknown-variant", text.rstrip("."), case.at(spot, "split") + join((name,))))
    return found or ([passed("endpoints", "endpoints exist")] if asked else [])


def fields(case: Case) -> list[Finding]:
    """Whether each field is an input of what answers, for that slice, and named once."""
    found = []
    asked: list[str] = []
    for spot, entry in case.entries:
        facts = case.facts(entry)
        if facts is None or entry.fields is None:
            continue
        if case.change.touches(spot.pointer):
            asked.append(spot.slice)
        absent = {same_name(name): missing for name, missing in facts.missing.items()}.get(same_name(spot.slice), ())
        model = facts.model or entry.model
        for place, name in enumerate(entry.fields):
            pointer = f"{case.at(spot, 'fields')}/{place}"
            if name not in facts.inputs:
                text = f"{_name(name)} is no input of {model}. {did_you_mean(name, facts.inputs)}"
                found.append(stop("unknown-field", text.rstrip("."), pointer))
            elif name in absent:
                there = [other.slice for other, _ in case.groups[spot.model] if name not in facts.missing.get(other.slice, ())]
                told = f"; it does in {together(there)}" if there else ""
                found.append(stop("unknown-field", f"{_name(name)} does not exist in {_name(spot.slice)}{told}", pointer))
            elif name in entry.fields[:place]:
                found.append(look("field-twice", f"{_name(name)} is named twice", pointer))
    if found or not asked:
        return found
    where = f" in {together(asked)}" if len(asked) <= 3 and all(asked) else ""
    return [passed("fields", f"fields exist{where}")]


def slices(case: Case) -> list[Finding]:
    """Whether each declared slice has an entry, each entry a declared slice, and none two."""
    if SLICE not in case.layout.entries:
        return []
    found: list[Finding] = []
    covered: list[str] = []
    by_model: dict[str, list[Spot]] = {}
    for spot in case.spots:
        by_model.setdefault(spot.model, []).append(spot)
    for model, mine in by_model.items():
        declared, word = case.declared(model), case.word(model)
        problems = _twice(mine, word)
        have = {same_name(spot.slice) for spot in mine}
        absent = [value for value in declared if same_name(value) not in have]
        if declared:
            problems += _unknown(mine, declared, absent, model, word)
        if absent and not have & REST:
            has = "have" if len(absent) > 1 else "has"
            text = f"{together(absent)} {has} no entry: {len(declared) - len(absent)} of {len(declared)} {several(word)} of {model}"
            problems.append(look("slices-missing", text, mine[0].group))
        elif declared and not problems and any(case.change.touches(spot.pointer) for spot in mine):
            covered.append(f"{len(declared)} of {len(declared)} {several(word)}")
        found += problems
    return found or [passed("slices", text) for text in dict.fromkeys(covered)]


def _twice(mine: list[Spot], word: str) -> list[Finding]:
    found = []
    seen: dict[str, Spot] = {}
    for spot in mine:
        twin = seen.setdefault(same_name(spot.slice), spot)
        if twin is not spot:
            found.append(stop("slice-twice", f"{shown(twin.slice)} and {shown(spot.slice)} are one {word}, twice", spot.pointer))
    return found


def _unknown(mine: list[Spot], declared: tuple[str, ...], absent: list[str], model: str, word: str) -> list[Finding]:
    found = []
    known = {same_name(value): value for value in declared}
    right = {spot.slice for spot in mine}
    for spot in mine:
        name = same_name(spot.slice)
        if name in REST or known.get(name, spot.slice) in right - {spot.slice}:
            continue  # the second is there twice, and told already
        if name not in known:
            meant = nearest(spot.slice, absent, 1) or nearest(spot.slice, declared, 1)
            hint = f"; did you mean {meant[0]}?" if meant else f": it has {together(list(declared))}"
            found.append(look("slice-unknown", f"{shown(spot.slice)} is no {word} of {model}{hint}", spot.pointer))
        elif spot.slice not in declared:
            text = f"requests say {shown(known[name])}, this entry {shown(spot.slice)}: an application that compares them finds none"
            found.append(look("slice-unknown", text, spot.pointer))
    return found


def shares(case: Case) -> list[Finding]:
    """Whether the shares of each entry sum to 100 %: those of its split, else its one share.

    Where entries of the model had one share below 100 % already, shares are samples there, and none is asked to be whole.
    """
    found = []
    asked = False
    sampled = {spot.model for spot in case.before.values() if _partial(spot, case)}
    for spot, entry in case.entries:
        if entry.split is not None:
            asked = True
            total = sum(entry.split.values())
            if total != WHOLE:
                what = " + ".join(percent(share) for share in entry.split.values()) or "nothing"
                text = f"the shares sum to {percent(total)} %, not 100 %" + (f" ({what})" if len(entry.split) < 9 else "")
                found.append(stop("shares-sum", text, case.at(spot, "split")))
        elif entry.share is not None and entry.model not in sampled:
            asked = True
            if entry.share != WHOLE:
                text = f"the shares sum to {percent(entry.share)} %, not 100 %: nobody gets the other {percent(WHOLE - entry.share)} %"
                found.append(stop("shares-sum", text, case.at(spot, "share")))
    return found or ([passed("shares", "shares sum to 100")] if asked else [])


def _partial(spot: Spot, case: Case) -> bool:
    if not isinstance(spot.value, dict):
        return False
    entry = entry_at(spot, case.layout)
    return entry.split is None and entry.share is not None and entry.share != WHOLE


def thresholds(case: Case) -> list[Finding]:
    """Whether each threshold lies where scores are."""
    found = []
    for spot, entry in case.entries:
        facts = case.facts(entry)
        if entry.threshold is None or facts is None or facts.score is None:
            continue
        low, high = facts.score
        pointer = case.at(spot, "threshold")
        if not low <= entry.threshold <= high:
            text = f"{entry.threshold:g} is outside of what {entry.model} scores ({low:g} – {high:g}){_meant(entry.threshold, spot, case)}"
            found.append(stop("threshold-range", text, pointer))
        elif entry.threshold == low:
            found.append(look("threshold-range", f"no score is below {low:g}: every request of it would be an alert", pointer))
        elif entry.threshold == high:
            found.append(look("threshold-range", f"no score is above {high:g}: nearly nothing would be an alert", pointer))
    return found


def _meant(threshold: float, spot: Spot, case: Case) -> str:
    """What was meant by one that is ten or a hundred times too high: what its siblings are like."""
    facts = case.known.models.get(spot.model)
    low, high = facts.score if facts and facts.score else PROBABILITY
    others = [one.threshold for other, one in case.groups[spot.model] if other is not spot and one.threshold is not None]
    likely = [threshold / factor for factor in (100, 10) if low < threshold / factor < high]
    around = [one for one in others if low <= one <= high]
    if not likely or not around:
        return ""
    best = min(likely, key=lambda one: abs(one - median(around)))
    return f"; did you mean {best:g}?"


def gone(case: Case) -> list[Finding]:
    """Models that were there before and are not any more."""
    here = {spot.model for spot in case.spots}
    lost: dict[str, list[Spot]] = {}
    for spot in case.before.values():
        if spot.model not in here:
            lost.setdefault(spot.model, []).append(spot)
    return [
        look("model-gone", f"{_name(model)} is gone, with {len(mine)} {'entries' if len(mine) > 1 else 'entry'}", _above(mine[0].group))
        for model, mine in lost.items()
    ]


def _above(pointer: str) -> str:
    return pointer[: pointer.rindex("/")]


def _name(name: str) -> str:
    return neutralise(name) or '""'


RULES = (models, endpoints, fields, slices, shares, thresholds)
"""Those that are asked of a document alone, so that what was wrong before a change can be told from what the change did."""
