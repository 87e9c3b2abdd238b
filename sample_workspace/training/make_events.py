"""Make the events that the sample models are trained, evaluated and asked with. Seeded: the same files every time.

A news event is put together from the phrases in `phrases/<language>.yaml`: a title, a lead, details, and sentences that say
nothing. Some themes are risks, some are risks that went away (the same words, another meaning), some have nothing to do with
supply chains, and about some of them editors differ; so no model can be right about all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TRAINING = Path(__file__).resolve().parent
WORKSPACE = TRAINING.parent
SEED = 20260131
T = TypeVar("T")
Event = dict[str, Any]

# Shares of the kinds of themes, the same in every file: the profile of the evaluation set is one of live traffic, too.
KINDS = {"risk": 0.31, "resolved": 0.17, "unclear": 0.05, "other": 0.47}
FLIPPED_LABELS = 0.01
VAGUE_TITLE, NO_LEAD, DETAIL, DISTRACTION = 0.10, 0.10, 0.75, 0.12

# The mix of the traffic that the demo speaks of: en 78 %, pl 20 %, de 2 %.
REPLAY = {"en": 2340, "pl": 600, "de": 60}
TRAIN = {"en": 2100, "pl": 1400, "de": 1400}
EVALUATION = {"en": 500, "pl": 500, "de": 500}
GOLDEN_POOL = {"en": 400, "pl": 400, "de": 400}

COMPANIES = yaml.safe_load((TRAINING / "phrases" / "companies.yaml").read_text("utf-8"))
# Numbers that take the genitive plural in Polish, so that a sentence is right with any of them.
TENS = [n for n in range(10, 90) if not (n % 10 in (2, 3, 4) and n // 10 != 1)]
NUMBERS: dict[str, Sequence[int]] = {
    "n": (2, 3, 4),
    "m": (5, 6, 7, 8, 9),
    "nn": TENS,
    "nnn": range(110, 990, 10),
}


def choose(rng: random.Random, options: Sequence[T]) -> T:
    """One of the options; only `random()`, whose sequence no Python version has changed, is relied upon."""
    return options[int(rng.random() * len(options))]


def weighted(rng: random.Random, shares: Mapping[str, float]) -> str:
    """One of the keys, as often as its share says."""
    left = rng.random() * sum(shares.values())
    for key, share in shares.items():
        left -= share
        if left < 0:
            return key
    return next(reversed(shares))


@dataclass(frozen=True)
class Theme:
    """What an event can be about: how editors see it, and in which words it is told."""

    name: str
    kind: str
    relevant: float
    titles: tuple[str, ...]
    leads: tuple[str, ...]
    details: tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """The phrases of one language."""

    code: str
    slots: dict[str, list[str]]
    fillers: list[str]
    vague_titles: list[str]
    themes: tuple[Theme, ...]

    @classmethod
    def load(cls, code: str) -> Language:
        document = yaml.safe_load((TRAINING / "phrases" / f"{code}.yaml").read_text("utf-8"))
        themes = tuple(
            Theme(name, t["kind"], t["relevant"], tuple(t["titles"]), tuple(t["leads"]), tuple(t["details"]))
            for name, t in document["themes"].items()
        )
        return cls(code, document["slots"], document["fillers"], document["vague_titles"], themes)

    def fill(self, rng: random.Random, phrases: Sequence[str], subject: Mapping[str, str]) -> str:
        """The phrases as one text: what the event is about stays the same throughout, numbers and days vary."""

        def value(match: re.Match[str]) -> str:
            slot = match[1]
            if slot in subject:
                return subject[slot]
            return str(choose(rng, NUMBERS[slot])) if slot in NUMBERS else choose(rng, self.slots[slot])

        filled = (re.sub(r"\{(\w+)\}", value, phrase) for phrase in phrases)
        return " ".join(text[:1].upper() + text[1:] for text in filled)

    def event(self, rng: random.Random) -> tuple[str, str, int]:
        """Title, body and label of one event."""
        kind = weighted(rng, KINDS)
        theme = choose(rng, [t for t in self.themes if t.kind == kind])
        subject = {"company": f"{choose(rng, COMPANIES['first'])} {choose(rng, COMPANIES['second'])}"}
        subject |= {slot: choose(rng, self.slots[slot]) for slot in ("city", "harbour", "goods", "union")}
        title = choose(rng, self.vague_titles if rng.random() < VAGUE_TITLE else theme.titles)
        body = [choose(rng, self.fillers if rng.random() < NO_LEAD else theme.leads)]
        if rng.random() < DETAIL:
            body.append(choose(rng, theme.details))
        if rng.random() < DISTRACTION:
            body.append(choose(rng, choose(rng, self.themes).details))
        filler = choose(rng, self.fillers)
        if filler not in body:
            body.append(filler)
        label = int(rng.random() < theme.relevant)
        if rng.random() < FLIPPED_LABELS:
            label = 1 - label
        return self.fill(rng, [title], subject), self.fill(rng, body, subject), label


def times(rng: random.Random, count: int, start: str, end: str) -> list[str]:
    """Moments in order, between the two days."""
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end))
    seconds = sorted(int(rng.random() * (last - first).total_seconds()) for _ in range(count))
    return [(first + timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%SZ") for s in seconds]


def shuffled(rng: random.Random, counts: Mapping[str, int]) -> list[str]:
    """Each key as often as its count, in random order."""
    return [key for _, key in sorted((rng.random(), key) for key, count in counts.items() for _ in range(count))]


def news(name: str, counts: Mapping[str, int], start: str, end: str, seen: set[tuple[str, str]]) -> list[Event]:
    """News events, none of which has been seen before (so no evaluation event was trained on)."""
    rng = random.Random(f"{SEED} {name}")
    languages = {code: Language.load(code) for code in counts}
    events = []
    for number, (code, time) in enumerate(zip(shuffled(rng, counts), times(rng, sum(counts.values()), start, end), strict=True), 1):
        title, body, label = languages[code].event(rng)
        while (title, body) in seen:
            title, body, label = languages[code].event(rng)
        seen.add((title, body))
        inputs = {"title": title, "body": body, "language": code}
        events.append({"id": f"{name}-{number:05d}", "time": time, "inputs": inputs, "label": label})
    return events


REGIONS = {"EU": 0.55, "US": 0.30, "APAC": 0.15}
CARRIERS = {
    "EU": {"Nordfracht": 0.0, "Balticroad": 0.5, "Alpentrans": -0.4},
    "US": {"Prairie Freight": 0.2, "Coastline": -0.3, "Nordfracht": 0.0},
    "APAC": {"Straits Shipping": 0.4, "Coastline": -0.2, "Lotus Cargo": 0.0},
}
KILOMETRES = {"EU": (60, 2400), "US": (100, 4200), "APAC": (200, 9000)}


def shipments(name: str, count: int, start: str, end: str) -> list[Event]:
    """Shipments, late or not. Congestion matters on long ways only, and bad weather to some carriers more than to others."""
    rng = random.Random(f"{SEED} delay {name}")
    events = []
    for number, time in enumerate(times(rng, count, start, end), 1):
        region = weighted(rng, REGIONS)
        carrier = choose(rng, list(CARRIERS[region]))
        shortest, longest = KILOMETRES[region]
        distance = round(shortest + (longest - shortest) * rng.random() ** 2)
        weekday = datetime.fromisoformat(time).weekday()
        congestion = round(rng.random() ** 1.6, 2)
        weather = round(10 * rng.random() ** 2, 1)
        on_time = round(1 - 0.45 * rng.random() ** 1.5, 2)
        logit = -1.1 + 2.5 * CARRIERS[region][carrier] + 14 * (0.82 - on_time)
        logit += 5.5 * congestion if distance > 900 else 0.6 * congestion
        logit += (0.75 if carrier in ("Balticroad", "Straits Shipping") else 0.3) * (weather - 3.5)
        logit += 1.3 if weekday >= 5 else 0.0
        label = int(rng.random() < 1 / (1 + math.exp(-1.3 * (logit - 1.0))))
        inputs = {
            "carrier": carrier,
            "region": region,
            "distance_km": distance,
            "weekday": weekday,
            "port_congestion": congestion,
            "weather_index": weather,
            "supplier_on_time_rate": on_time,
        }
        events.append({"id": f"{name}-{number:05d}", "time": time, "inputs": inputs, "label": label})
    return events


def write(path: Path, events: Iterable[Event]) -> None:
    """Events as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(event, ensure_ascii=False, separators=(",", ":")) for event in events)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def read(path: Path) -> list[Event]:
    """Events from JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def golden_pool() -> list[Event]:
    """News events that are in no file; golden queries are chosen from them."""
    return make()[1]


def make() -> tuple[dict[str, list[Event]], list[Event]]:
    """All event files by name, and the pool for golden queries."""
    seen: set[tuple[str, str]] = set()
    files = {
        "train.jsonl": news("train", TRAIN, "2025-06-01", "2026-02-01", seen),
        "evaluation.jsonl": news("evaluation", EVALUATION, "2026-02-01", "2026-03-01", seen),
        "replay.jsonl": news("replay", REPLAY, "2026-03-01", "2026-03-08", seen),
        "train-delay-risk.jsonl": shipments("train", 2000, "2025-06-01", "2026-02-01"),
        "evaluation-delay-risk.jsonl": shipments("evaluation", 900, "2026-02-01", "2026-03-01"),
        "replay-delay-risk.jsonl": shipments("replay", 500, "2026-03-01", "2026-03-08"),
    }
    return files, news("golden", GOLDEN_POOL, "2026-03-01", "2026-03-08", seen)


def write_all(folder: Path) -> None:
    """Write every event file into the folder."""
    for name, events in make()[0].items():
        write(folder / name, events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WORKSPACE / "events", help="folder to write to")
    write_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
