"""The tables: the keys one queries by, and one JSON body per row; leases and control are plain columns that change.

The database is made by `migrations`, not from these classes; a test holds the two together. Moments are ISO 8601 in UTC with six places, so
that they sort as text; spans are seconds.
"""

from __future__ import annotations

from sqlmodel import Field, SQLModel


class VersionTable(SQLModel, table=True):
    """A model version; `seq` is the order of registration."""

    __tablename__ = "model_version"
    seq: int | None = Field(default=None, primary_key=True)
    model: str
    version: str
    digest: str
    body: str


class EndpointTable(SQLModel, table=True):
    """What is live on an endpoint, and the last release number that was given out."""

    __tablename__ = "endpoint"
    environment: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    live_release: int | None = None
    last_number: int = 0


class ReleaseTable(SQLModel, table=True):
    """A release; its body never changes, its standing does."""

    __tablename__ = "release"
    seq: int | None = Field(default=None, primary_key=True)
    environment: str
    endpoint: str
    number: int
    standing: str
    body: str


class PlanTable(SQLModel, table=True):
    """A plan; `used` once an operation has been started from it."""

    __tablename__ = "plan"
    seq: int | None = Field(default=None, primary_key=True)
    id: str
    environment: str
    endpoint: str
    used: bool = False
    body: str


class OperationTable(SQLModel, table=True):
    """An operation. The body is the whole of it; `state` and `ended` repeat what is asked for."""

    __tablename__ = "operation"
    seq: int | None = Field(default=None, primary_key=True)
    id: str
    environment: str
    endpoint: str
    scope: str
    release: int
    state: str
    ended: str | None = None
    body: str


class StepTable(SQLModel, table=True):
    """One try of a step, in the order in which they were intended."""

    __tablename__ = "step"
    seq: int | None = Field(default=None, primary_key=True)
    operation: str
    back: bool
    place: int
    phase: str
    state: str
    ended: str | None = None
    body: str


class LeaseTable(SQLModel, table=True):
    """The right to change one scope. The row stays when the lease is dropped, so that `token` rises for ever."""

    __tablename__ = "lease"
    environment: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    token: int
    held: bool
    holder: str
    place: str
    pid: int
    boot: str
    operation: str
    purpose: str
    seconds: float
    taken_at: str
    taken: float
    renewed_at: str
    renewed: float
    expires: float


class ControlTable(SQLModel, table=True):
    """What people ask of a running operation; needs no lease."""

    __tablename__ = "control"
    operation: str = Field(primary_key=True)
    wanted: str
    actor: str
    asked_at: str
