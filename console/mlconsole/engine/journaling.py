"""The lines that a driver writes into the journal: each step before its call, and what came of it after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.live import Live
from mlconsole.core.models import Json
from mlconsole.core.operations import StepRecord, StepState
from mlconsole.core.steps import Step, outstanding
from mlconsole.core.text import neutralise

if TYPE_CHECKING:
    from mlconsole.engine.holding import Hold
    from mlconsole.engine.session import Session


class StepLines:
    """The steps of one operation, written under its driver's hold."""

    def __init__(self, session: Session, operation: str, hold: Hold) -> None:
        self._registry, self._clock = session.registry, session.clock
        self._operation, self._hold = operation, hold
        self._next = len(self._registry.steps(operation))

    def intend(self, step: Step, live: Live, *, back: bool) -> StepRecord:
        """Commit a step before its call, with the state it found (invariant 1)."""
        record = StepRecord(self._operation, self._next, step, back, _found(live), self._clock.now())
        self._next += 1
        self._hold.write(lambda lease: self._registry.intend_step(record, lease))
        return record

    def close(self, record: StepRecord, state: StepState, *, read_back: str = "", problem: str = "") -> None:
        """Write what came of it."""
        closed = replace(record, state=state, ended=self._clock.now(), read_back=read_back, problem=neutralise(problem))
        self._hold.write(lambda lease: self._registry.close_step(closed, lease))

    def ended(self, how: StepState) -> list[Step]:
        """The steps forward that ended so, as far as the journal knows."""
        records = self._registry.steps(self._operation) if self._next else []
        return [record.step for record in records if record.state is how and not record.back]

    def open(self) -> list[StepRecord]:
        """Those whose driver died in them: perhaps they happened."""
        return [record for record in self._registry.steps(self._operation) if record.state is StepState.INTENDED]

    def close_found(self, records: list[StepRecord], live: Live | None) -> None:
        """Say of each whether the live state shows that it happened; a gate leaves no trace."""
        for record in records:
            if record.step.role != "gate" and live is not None and not outstanding(record.step, live):
                self.close(record, StepState.DONE, read_back="found so after an interruption")
            else:
                self.close(record, StepState.UNKNOWN, problem="interrupted")


def _found(live: Live) -> Mapping[str, Json]:
    traffic = live.traffic
    return {
        "variants": {variant.name: f"{variant.state} {variant.digest or 'unknown bytes'}" for variant in live.variants},
        "traffic": dict(traffic.split) if traffic else None,
        "by_slice": {f"{entry.key}={entry.value}": dict(entry.split) for entry in traffic.by_slice} if traffic else {},
        "shadow": {traffic.shadow.variant: traffic.shadow.sample} if traffic and traffic.shadow else {},
        "transition": str(live.transition),
        **({"document": f"{there.name} {there.version} for {there.share} bp"} if (there := live.document) is not None else {}),
    }
