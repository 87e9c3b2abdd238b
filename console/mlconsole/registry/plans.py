"""Plans: shown before anything happens, run at most once."""

from __future__ import annotations

import hashlib
import re
import secrets

from sqlmodel import Session, col, select

from mlconsole.core.plans import Plan
from mlconsole.plugin.errors import AlreadyExists
from mlconsole.registry.bodies import dump, load
from mlconsole.registry.parts import Part
from mlconsole.registry.tables import PlanTable

_LIKE_A_NUMBER = re.compile(r"\d*e?\d*")
"""`4711` and `12e4` would become numbers in YAML, JSON and spreadsheets."""
_TRIES = 16


class Plans(Part):
    """The plans that were made."""

    def new_plan_id(self, seed: str | None = None) -> str:
        """A free id of four hex digits, longer when those are taken; never one that reads as a number.

        It is random; with a `seed` it follows from that (and from which ids are taken), for tests and pictures. It is free, not reserved:
        `save_plan` tells when somebody else was faster.
        """

        def work(session: Session) -> str:
            attempt = 0
            while True:
                digits = 4 + attempt // _TRIES
                text = secrets.token_hex(32) if seed is None else hashlib.sha256(f"{seed}:{attempt}".encode()).hexdigest()
                candidate = text[:digits]
                attempt += 1
                if not _LIKE_A_NUMBER.fullmatch(candidate) and _row(session, candidate) is None:
                    return candidate

        return self._database.read(work)

    def save_plan(self, plan: Plan) -> None:
        """Keep a plan under its id; saving the same plan again changes nothing.

        Raises:
            AlreadyExists: another plan has that id.
        """
        body = dump(plan)

        def work(session: Session) -> None:
            there = _row(session, plan.id)
            if there is None:
                session.add(plan_row(plan, body))
            elif there.body != body:
                raise AlreadyExists(f"Another plan has the id {plan.id} already. Nothing was changed.", next="Make the plan again.")

        self._database.write(work)

    def plan(self, plan_id: str) -> Plan | None:
        """One plan, or None."""

        def work(session: Session) -> Plan | None:
            row = _row(session, plan_id)
            return None if row is None else load(Plan, row.body)

        return self._database.read(work)

    def plan_used(self, plan_id: str) -> bool:
        """Whether an operation has been started from it."""

        def work(session: Session) -> bool:
            row = _row(session, plan_id)
            return row is not None and row.used

        return self._database.read(work)

    def plans(self, environment: str, limit: int = 50) -> list[Plan]:
        """The environment's newest `limit` plans, used or not; newest first."""
        statement = select(PlanTable.body).where(PlanTable.environment == environment).order_by(col(PlanTable.seq).desc()).limit(limit)
        return self._database.read(lambda session: [load(Plan, body) for body in session.exec(statement)])


def plan_row(plan: Plan, body: str) -> PlanTable:
    """A plan's row, not used yet."""
    return PlanTable(id=plan.id, environment=plan.environment, endpoint=plan.endpoint, used=False, body=body)


def _row(session: Session, plan_id: str) -> PlanTable | None:
    return session.exec(select(PlanTable).where(PlanTable.id == plan_id)).first()
