"""What was measured and recorded of versions: which figures compare, which are worse; what it was made with, and what its server has."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlconsole.core.models import UNKNOWN, Metrics
from mlconsole.core.text import neutralise

_LOWER_IS_BETTER = re.compile(
    r"(^|[^a-z])(brier|loss|logloss|err|error|errors|latency|ms|mae|mse|rmse|mape|ece|fpr|fnr|perplexity|p\d\d)([^a-z]|$)|loss$|error$"
)
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:===?\s*([^\s;,*]+))?")
_SHOWN = 4
"""So many figures or packages are told one by one."""


class Compared(StrEnum):
    """How a figure of the new version stands to that of the other."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "the same"
    """As far as people read it: three digits after the point."""
    ONLY_ONE = "only one of them has it"
    UNCLEAR = "no figure that could be compared"
    """One of them is not finite."""


@dataclass(frozen=True)
class Figure:
    """One metric, overall (`f1`) or of a slice (`f1/de`), in the version that is there and in the new one; None: it has no such figure."""

    name: str
    old: float | None
    new: float | None

    @property
    def compared(self) -> Compared:
        """Which one is better."""
        if self.old is None or self.new is None:
            return Compared.ONLY_ONE
        if not (math.isfinite(self.old) and math.isfinite(self.new)):
            return Compared.UNCLEAR
        if figure(self.old) == figure(self.new):
            return Compared.SAME
        return Compared.BETTER if (self.new > self.old) != lower_is_better(self.name) else Compared.WORSE

    @property
    def loss(self) -> float:
        """By how much the new one is worse, in the metric's own unit; 0 where it is not."""
        if self.compared is not Compared.WORSE:
            return 0.0
        return abs((self.new or 0.0) - (self.old or 0.0))


@dataclass(frozen=True)
class Evaluation:
    """The figures of two versions side by side; none unless they were measured on the same evaluation set."""

    sets: tuple[str, str]
    figures: tuple[Figure, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether both were measured on the same set, and it is known which."""
        return self.sets[0] not in ("", UNKNOWN) and self.sets[0] == self.sets[1]

    def worse(self, margin: float = 0.0) -> tuple[Figure, ...]:
        """The figures that are worse by more than `margin`."""
        return tuple(one for one in self.figures if one.compared is Compared.WORSE and one.loss > margin * (1 + 1e-9))

    @property
    def unknown(self) -> tuple[Figure, ...]:
        """What is known of the version that is there, and not of the new one."""
        return tuple(
            one for one in self.figures if one.compared is Compared.UNCLEAR or (one.compared is Compared.ONLY_ONE and one.new is None)
        )


@dataclass(frozen=True)
class EvaluationGate:
    """What an environment wants of a version's figures before it goes there."""

    stops: bool = False
    """A version that is worse is not deployed; else a person has to say why it may be."""
    margin: float = 0.0
    """How much worse, in the metric's own unit, does not stop it."""


def evaluate(old: Metrics, new: Metrics) -> Evaluation:
    """The figures of `new` beside those of `old`."""
    sets = (old.evaluation_set, new.evaluation_set)
    found = Evaluation(sets, figures(old.values, new.values))
    return found if found.comparable else Evaluation(sets)


def figures(old: Mapping[str, float], new: Mapping[str, float]) -> tuple[Figure, ...]:
    """Every metric that one of them has, in their order."""
    return tuple(Figure(name, old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new]))


def findings(evaluation: Evaluation, old: str) -> tuple[str, ...]:
    """What a person has to judge, for a plan; `old` names the version that is there. None: it is nowhere worse."""
    if not evaluation.comparable:
        return (not_comparable(evaluation, old),)
    found = []
    if worse := evaluation.worse():
        found.append(f"worse than {neutralise(old)} in {figures_told(worse)}: the reviewer has to say why")
    if evaluation.unknown:
        names = _together([metric_label(neutralise(one.name)) for one in evaluation.unknown])
        found.append(f"evaluation: not known whether it is worse than {neutralise(old)} in {names}: it has no figure for that")
    return tuple(found)


def not_comparable(evaluation: Evaluation, old: str) -> str:
    """That the figures say nothing of each other."""
    sets = [short_set(one) or "not recorded" for one in evaluation.sets]
    return f"evaluation: not comparable with {neutralise(old)}: other evaluation set ({sets[0]}, its own is {sets[1]})"


def figures_told(worse: Sequence[Figure]) -> str:
    """`F1 · pl (0.858 → 0.829)`."""
    return _together([f"{metric_label(neutralise(one.name))} ({figure(one.old)} → {figure(one.new)})" for one in worse])


@dataclass(frozen=True)
class Packages:
    """What a version was made with against what its server has, where they are not the same."""

    other: tuple[tuple[str, str, str], ...] = ()
    """Name, version recorded, version that is there."""
    gone: tuple[str, ...] = ()
    """Not there at all: it may be that only the training needed it, which asking the model tells."""


def compare_packages(recorded: Sequence[str], installed: Mapping[str, str]) -> Packages:
    """`recorded` as in a version (`name==version`), `installed` name → version. Without an exact version any will do."""
    there = {_same_name(name): version for name, version in installed.items()}
    other, gone = [], []
    for line in recorded:
        found = _REQUIREMENT.match(line)
        if found is None:
            continue
        name, wanted = neutralise(found[1]), found[2]
        has = there.get(_same_name(name))
        if has is None:
            gone.append(name)
        elif wanted is not None and has != wanted:
            other.append((name, neutralise(wanted), neutralise(has)))
    return Packages(tuple(other), tuple(gone))


def dependency_findings(recorded: Sequence[str], installed: Mapping[str, str] | None) -> tuple[str, ...]:
    """What a person has to judge of what a version was made with; `installed` None: what its server has can't be known."""
    if not recorded:
        return ()
    if installed is None:
        return (f"dependencies: what its server has is not known here; the {len(recorded)} recorded ones are not compared",)
    other = compare_packages(recorded, installed).other
    return (f"made with {_together([f'{name} {wanted}, its server has {has}' for name, wanted, has in other])}",) if other else ()


def lower_is_better(metric: str) -> bool:
    """Whether less of it is better; known by its name."""
    return bool(_LOWER_IS_BETTER.search(metric.split("/")[0].casefold()))


def metric_label(name: str) -> str:
    """`f1/de` as people read it: `F1 · de`."""
    whole, _, part = name.partition("/")
    label = whole.upper() if len(whole) <= 3 else whole
    return f"{label} · {part}" if part else label


def figure(value: float | None) -> str:
    """A metric's figure: three digits after the point, fewer for large ones."""
    return "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def short_set(digest: str) -> str:
    """The first digits of a hash; what is no hash stays as it is named."""
    return digest.removeprefix("sha256:")[:6] if re.fullmatch(r"(sha256:)?[0-9a-f]{12,}", digest) else neutralise(digest[:16])


def _same_name(name: str) -> str:
    """Two spellings of one package."""
    return re.sub(r"[-_.]+", "-", name).casefold()


def _together(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
