"""The catalog beside the registry: taking versions over, what stays unknown, and whether a version may be used, said both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine.conftest import ANNA, TOMEK, House
from engine.kit import deploy
from mlconsole.core.approvals import Say
from mlconsole.core.models import Actor, Artifact, Code, ModelVersion
from mlconsole.core.plans import Plan
from mlconsole.engine import approving, cataloguing, changing, planning, released
from mlconsole.engine.catalogapprovals import OURS, decide
from mlconsole.engine.models import compare
from mlconsole.engine.session import Session
from mlconsole.plugin import Context, Plugin, simulator
from mlconsole.plugin.cataloguing import Approval, Catalog, CatalogEntry, CatalogModel, CatalogVersion
from mlconsole.plugin.errors import (
    AlreadyExists,
    ApprovalNeeded,
    Conflict,
    InvalidFile,
    NotAllowed,
    NotFound,
    Unavailable,
    UnknownName,
    UsageError,
)
from mlconsole.plugin.simulator import simulated_version
from mlconsole.workspace import load

METADATA = """\
owner: ola
preprocessing: artifact
signature:
  inputs: [{name: text, datatype: BYTES}]
  outputs: [{name: score, datatype: FP32}]
"""


@dataclass
class Shelf:
    """A catalog that is as the test says."""

    entries: dict[str, CatalogEntry] = field(default_factory=dict)
    fails: Exception | None = None
    measured_so_far: int = 0
    decided: list[tuple[str, Approval, str]] = field(default_factory=list)
    between: Callable[[], None] = lambda: None
    """What somebody else does just before something is written."""

    def put(self, model: str, version: str, approval: Approval = Approval.PENDING, note: str = "", **known: object) -> str:
        identity = f"arn:shelf:{model}/{version}"
        there = CatalogVersion(model, version, identity, approval, usable=bool(known.pop("usable", True)))
        self.entries[identity] = CatalogEntry(there, approval_note=note, location=f"s3://shelf/{model}/{version}.tar.gz", **known)  # type: ignore[arg-type]
        return identity

    def say(self, identity: str, approval: Approval, note: str) -> None:
        entry = self.entries[identity]
        self.entries[identity] = replace(entry, version=replace(entry.version, approval=approval), approval_note=note)

    def models(self) -> Sequence[CatalogModel]:
        self._maybe()
        return [CatalogModel(name, name) for name in sorted({entry.version.model for entry in self.entries.values()})]

    def versions(self, model: str, limit: int = 50) -> Sequence[CatalogVersion]:
        self._maybe()
        return [entry.version for entry in reversed(self.entries.values()) if entry.version.model == model][:limit]

    def entry(self, key: str) -> CatalogEntry:
        self._maybe()
        if key not in self.entries:
            raise NotFound(f"no \x1b[31m{key}")
        return self.entries[key]

    def approval(self, key: str) -> tuple[Approval, str]:
        entry = self.entry(key)
        return entry.version.approval, entry.approval_note

    def measured(self, entry: CatalogEntry) -> Artifact:
        self.measured_so_far += 1
        return Artifact(entry.location, simulated_version(entry.version.model, entry.version.version).artifact.digest, 1000)

    def decide(self, key: str, approval: Approval, note: str, *, seen: Approval) -> None:
        self.between()
        if self.entries[key].version.approval is not seen:
            raise Conflict("it is not so any more")
        self.decided.append((key, approval, note))
        self.say(key, approval, note)

    def _maybe(self) -> None:
        if self.fails is not None:
            raise self.fails


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


Open = Callable[..., Session]


@pytest.fixture
def opened(house: House, shelf: Shelf) -> Open:
    """Sessions whose environments have that catalog."""
    file = house.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("    serving: simulator\n", "    serving: simulator\n    catalog: shelf\n"))
    plugin = Plugin("shelf", "1", "a catalog", {"catalog": lambda context: shelf})

    def make(who: Actor = ANNA, environment: str = "staging", *, read_only: bool = False) -> Session:
        workspace = load(house.root)
        return Session(
            workspace,
            workspace.environments[environment],
            actor=who,
            clock=house.clock,
            read_only=read_only,
            plugins={"simulator": simulator.plugin, "shelf": plugin},
            tell=house.told.append,
        )

    return make


def brought(session: Session, shelf: Shelf, version: str, approval: Approval = Approval.PENDING, note: str = "") -> ModelVersion:
    """A version that was imported."""
    identity = shelf.put("relevance", version, approval, note, metadata=METADATA)
    return cataloguing.import_version(session, identity).version


def test_the_shelf_is_a_catalog(shelf: Shelf) -> None:
    assert isinstance(shelf, Catalog)


def test_what_it_has_and_what_of_it_is_here(opened: Open, shelf: Shelf) -> None:
    session = opened()
    shelf.put("relevance", "8")
    brought(session, shelf, "9")
    shelf.put("sentiment", "1")
    assert [one.name for one in cataloguing.models(session)] == ["relevance", "sentiment"]
    lines = cataloguing.versions(session, "relevance")
    assert [(line.version.version, line.registered.name if line.registered else None) for line in lines] == [
        ("9", "relevance@9"),
        ("8", None),
    ]


def test_wrong_names_are_answered_with_the_nearest(opened: Open, shelf: Shelf) -> None:
    session = opened()
    shelf.put("relevance", "2026-11")
    with pytest.raises(UnknownName, match="Did you mean relevance"):
        cataloguing.versions(session, "relevence")
    with pytest.raises(UnknownName, match="Did you mean 2026-11"):
        cataloguing.entry(session, "relevance@2026-10")
    with pytest.raises(UnknownName, match="Its newest: 2026-11"):
        cataloguing.entry(session, "relevance@x")
    with pytest.raises(UsageError, match="latest"):
        cataloguing.entry(session, "relevance@latest")
    with pytest.raises(UnknownName) as caught:
        cataloguing.entry(session, "arn:shelf:nothing")
    assert "\x1b" not in str(caught.value)


def test_an_environment_without_one_says_so(house: House) -> None:
    with pytest.raises(UsageError, match="has no catalog"):
        cataloguing.models(house.session())


def test_what_the_catalog_knows_goes_into_the_registry_and_the_rest_is_unknown(opened: Open, shelf: Shelf) -> None:
    session = opened()
    identity = shelf.put(
        "relevance",
        "9",
        metadata=METADATA,
        code=Code("8c1f2e0", None, "git@x"),
        data=["s3://data/a", "s3://data/b"],
        parameters={"C": 1.5},
        metrics={"f1": 0.9},
        facts={"owner": "anna", "data.cutoff": "2026-11-02", "evaluation_set": "sha256:e4"},
    )
    done = cataloguing.import_version(session, "relevance@9")
    made = done.version
    assert (done.new, done.approval, made.name, made.origin) == (True, Approval.PENDING, "relevance@9", identity)
    assert session.registry.version("relevance", "9") == made
    assert made.artifact == Artifact("s3://shelf/relevance/9.tar.gz", simulated_version("relevance", "9").artifact.digest, 1000)
    assert (made.owner, made.preprocessing) == ("ola", "artifact"), "what a person wrote down beside it goes before"
    assert (made.data.reference, made.data.cutoff) == ("s3://data/a, s3://data/b", "2026-11-02")
    assert (made.metrics.evaluation_set, made.metrics.values, made.parameters) == ("sha256:e4", {"f1": 0.9}, {"C": 1.5})
    assert (made.code.commit, made.dependencies, made.baseline) == ("8c1f2e0", (), {})
    assert done.notes == ("unknown, and stays so: baseline, dependencies",)
    assert not cataloguing.import_version(session, identity).new


def test_figures_measured_nobody_knows_on_what_do_not_compare(opened: Open, shelf: Shelf) -> None:
    session = opened()
    shelf.put("relevance", "8", metadata=METADATA, metrics={"f1": 0.9})
    shelf.put("relevance", "9", metadata=METADATA, metrics={"f1": 0.8})
    one, other = (cataloguing.import_version(session, f"relevance@{version}").version for version in ("8", "9"))
    assert one.metrics.evaluation_set == other.metrics.evaluation_set == "unknown"
    assert compare(one, other).metrics == ()


def test_without_a_signature_nothing_is_registered_and_nothing_is_read(opened: Open, shelf: Shelf, tmp_path: Path) -> None:
    session = opened()
    shelf.put("relevance", "9")
    with pytest.raises(UsageError, match="takes and gives") as caught:
        cataloguing.import_version(session, "relevance@9")
    assert "--like" in caught.value.next
    assert (shelf.measured_so_far, session.registry.version("relevance", "9")) == (0, None)
    file = tmp_path / "mine.yaml"
    file.write_text(METADATA)
    assert cataloguing.import_version(session, "relevance@9", file, only_look=True).new
    assert session.registry.version("relevance", "9") is None
    known = session.registry.version("relevance", "4")
    assert known is not None
    made = cataloguing.import_version(session, "relevance@9", like=known).version
    assert (made.signature, made.preprocessing, made.owner) == (known.signature, known.preprocessing, "unknown")


def test_a_wrong_metadata_file_beside_the_artifact_is_named_by_its_place(opened: Open, shelf: Shelf) -> None:
    shelf.put("relevance", "9", metadata="owner: [1\n")
    with pytest.raises(InvalidFile, match=r"s3://shelf/relevance/model\.yaml:"):
        cataloguing.import_version(opened(), "relevance@9")


def test_what_can_not_be_imported(opened: Open, shelf: Shelf) -> None:
    session = opened()
    shelf.put("relevance", "9", metadata=METADATA, usable=False)
    with pytest.raises(UsageError, match="not whole"):
        cataloguing.import_version(session, "relevance@9")
    shelf.put("relevance", "4", metadata=METADATA)
    mine = session.registry.version("relevance", "4")
    assert mine is not None
    assert not cataloguing.import_version(session, "relevance@4").new, "the same bytes are the same version"
    shelf.put("relevance", "10", metadata=METADATA)
    with pytest.raises(AlreadyExists):
        cataloguing.import_version(session, "relevance@10", as_version="4")
    assert cataloguing.import_version(session, "relevance@10", as_version="ten").version.name == "relevance@ten"
    with pytest.raises(NotAllowed, match="Read only"):
        cataloguing.import_version(opened(read_only=True), "relevance@10")


def plan(session: Session, version: str, **how: str) -> Plan:
    return planning.plan_deploy(session, "relevance", version, **how)


def test_a_rejected_version_does_not_go_to_production_but_with_a_reason(opened: Open, shelf: Shelf) -> None:
    made = brought(opened(), shelf, "9", Approval.REJECTED, "jan, it leaks the label")
    staging, production = opened(), opened(environment="production")
    assert "the catalog says rejected (jan, it leaks the label) of relevance@9" in plan(staging, "9").notes
    with pytest.raises(NotAllowed, match=r"the catalog says rejected \(jan, it leaks the label\) of relevance@9") as caught:
        plan(production, "9")
    assert (caught.value.exit_code, caught.value.glass) == (7, True)
    broken = plan(production, "9", break_glass="the fire is worse")
    assert broken.skipped_gates[0] == "catalog (v9)"
    assert any("catalog is skipped (the fire is worse)" in note for note in broken.notes)
    assert changing.run(production, broken).done
    assert cataloguing.standing(production, made).told == "rejected (jan, it leaks the label)"


def test_a_pending_one_is_told_of_and_an_approved_one_is_not(opened: Open, shelf: Shelf) -> None:
    made = brought(opened(), shelf, "9")
    production = opened(environment="production")
    assert any("the catalog says pending of relevance@9" in note for note in plan(production, "9").notes)
    assert not any("catalog" in note for note in plan(opened(), "9").notes)
    shelf.say(made.origin, Approval.APPROVED, "")
    assert not any("catalog" in note for note in plan(production, "9").notes)
    shelf.say(made.origin, Approval.REJECTED, "")
    assert not any("catalog" in note for note in plan(production, "4").notes), "what came from no catalog is not its business"


def test_a_catalog_that_does_not_answer_stops_nobody_and_that_is_said(opened: Open, shelf: Shelf) -> None:
    brought(opened(), shelf, "9", Approval.REJECTED)
    shelf.fails = Unavailable("AWS can't be reached.")
    assert "what the catalog says of relevance@9 is not known: AWS can't be reached." in plan(opened(environment="production"), "9").notes


def test_going_back_asks_no_catalog(opened: Open, shelf: Shelf) -> None:
    session = opened(environment="production")
    made = brought(session, shelf, "9", Approval.APPROVED)
    for version in ("9", "4"):
        assert deploy(session, version, 10_000).done
    shelf.say(made.origin, Approval.REJECTED, "it leaks")
    assert changing.run(session, planning.plan_revert(session, "relevance")).done


def test_saying_it_by_hand(opened: Open, shelf: Shelf) -> None:
    session = opened()
    made = brought(session, shelf, "9")
    assert decide(session, made, Approval.APPROVED, "f1 is better").told == "approved (mlconsole: approved by anna@bastion-1: f1 is better)"
    assert decide(session, made, Approval.APPROVED, "yet again").approval is Approval.APPROVED
    assert len(shelf.decided) == 1, "nothing is written that is so already"
    for reason, version, error in ((" ", made, "wants a reason"), ("x", simulated_version("relevance", "4"), "came from no catalog")):
        with pytest.raises(UsageError, match=error):
            decide(session, version, Approval.REJECTED, reason)
    with pytest.raises(NotAllowed, match="Read only"):
        decide(opened(read_only=True), made, Approval.REJECTED, "x")


def test_a_rejection_by_others_is_never_written_over_silently(opened: Open, shelf: Shelf) -> None:
    session = opened()
    made = brought(session, shelf, "9", Approval.REJECTED, "jan, it leaks")
    with pytest.raises(NotAllowed, match=r"says rejected of relevance@9 \(jan, it leaks\)"):
        decide(session, made, Approval.APPROVED, "fine")
    assert shelf.decided == []
    decide(session, made, Approval.APPROVED, "mended", overrule=True)
    assert shelf.decided == [
        (made.origin, Approval.APPROVED, f"{OURS}approved by anna@bastion-1: mended (before: rejected: jan, it leaks)")
    ]


def test_what_changes_while_it_is_written_wins(opened: Open, shelf: Shelf) -> None:
    session = opened()
    made = brought(session, shelf, "9")
    shelf.between = lambda: shelf.say(made.origin, Approval.REJECTED, "jan, it leaks")
    with pytest.raises(Conflict):
        decide(session, made, Approval.APPROVED, "fine")
    assert shelf.entries[made.origin].version.approval is Approval.REJECTED


@pytest.fixture
def ruled(house: House, opened: Open) -> Open:
    """From now on production wants tomek's word."""
    file = house.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("    production: true\n", "    production: true\n    approvals: {who: [tomek]}\n"))
    return opened


def asked(session: Session, version: str) -> int:
    with pytest.raises(ApprovalNeeded) as caught:
        changing.run(session, plan(session, version))
    return caught.value.request


def test_what_is_approved_here_is_approved_there_with_who_and_why(ruled: Open, shelf: Shelf) -> None:
    anna, tomek = ruled(environment="production"), ruled(TOMEK, environment="production")
    assert deploy_approved(anna, tomek, "4")
    assert shelf.decided == [], "what came from no catalog is told to none"
    made = brought(anna, shelf, "9")
    view = approving.say(tomek, asked(anna, "9"), Say.APPROVE, "read the 20 worst pairs")
    assert view.notes == ("the catalog says approved of relevance@9 now",)
    [(identity, approval, note)] = shelf.decided
    assert (identity, approval) == (made.origin, Approval.APPROVED)
    assert note.startswith(f"{OURS}approved by tomek (request 2: relevance v4 → ")
    assert note.endswith(": read the 20 worst pairs")


def deploy_approved(anna: Session, tomek: Session, version: str) -> bool:
    planned = plan(anna, version)
    with pytest.raises(ApprovalNeeded) as caught:
        changing.run(anna, planned)
    approving.say(tomek, caught.value.request, Say.APPROVE)
    return changing.run(anna, planned).done


def test_what_is_rejected_here_is_rejected_there_and_ours_may_be_approved_later(ruled: Open, shelf: Shelf) -> None:
    anna, tomek = ruled(environment="production"), ruled(TOMEK, environment="staging")
    made = brought(anna, shelf, "9")
    view = approving.say(tomek, asked(anna, "9"), Say.REJECT, "not on a Friday")
    assert view.notes == ("the catalog says rejected of relevance@9 now",)
    with pytest.raises(NotAllowed, match="not on a Friday"):
        plan(anna, "9")
    decide(tomek, made, Approval.APPROVED, "it is Monday")
    assert shelf.decided[-1][2].endswith(
        "it is Monday (before: rejected: rejected by tomek (request 1: relevance nothing → v9 in production): not on a Friday)"
    )


def test_what_serves_already_is_not_decided_again(ruled: Open, shelf: Shelf) -> None:
    anna, tomek = ruled(environment="production"), ruled(TOMEK, environment="production")
    made = brought(anna, shelf, "9", Approval.APPROVED)
    assert deploy_approved(anna, tomek, "9")
    shelf.say(made.origin, Approval.PENDING, "looked at again")
    assert deploy_approved(anna, tomek, "4"), "v9 is part of that release, too"
    assert shelf.decided == []


def test_a_rejection_by_others_outlives_an_approval_here_and_that_is_said(ruled: Open, shelf: Shelf) -> None:
    anna, tomek = ruled(environment="production"), ruled(TOMEK, environment="production")
    made = brought(anna, shelf, "9")
    number = asked(anna, "9")
    shelf.say(made.origin, Approval.REJECTED, "jan, it leaks")
    view = approving.say(tomek, number, Say.APPROVE, "fine")
    assert view.state == "approved"
    assert shelf.decided == []
    assert view.notes == (
        "the catalog was not told of relevance@9: The catalog says rejected of relevance@9 (jan, it leaks). Nothing was changed.",
    )


def test_a_catalog_that_does_not_answer_keeps_nobody_from_voting(ruled: Open, shelf: Shelf) -> None:
    anna, tomek = ruled(environment="production"), ruled(TOMEK, environment="production")
    brought(anna, shelf, "9")
    number = asked(anna, "9")
    shelf.fails = Unavailable("AWS can't be reached.")
    view = approving.say(tomek, number, Say.APPROVE)
    assert (view.state, view.notes) == ("approved", ("the catalog was not told of relevance@9: AWS can't be reached.",))


def test_outside_production_the_catalog_is_left_alone(house: House, opened: Open, shelf: Shelf) -> None:
    file = house.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  staging:\n", "  staging:\n    approvals: {who: [tomek]}\n"))
    anna = opened()
    brought(anna, shelf, "9")
    assert approving.say(opened(TOMEK), asked(anna, "9"), Say.APPROVE).notes == ()
    assert shelf.decided == []


def test_roles_are_told_what_was_released(opened: Open, shelf: Shelf) -> None:
    """A role that meets a variant's traces is told what it is: also of one that is not live any more, and of none that is unknown."""
    session = opened()
    given: list[Context] = []
    watching = Plugin("watching", "1", "", {"catalog": lambda context: given.append(context) or shelf})
    session._plugins = {"simulator": simulator.plugin, "shelf": watching}
    for version in ("3", "4"):
        assert deploy(session, version, 10_000).done
    cataloguing.models(session)
    [context] = given
    assert context.released is not None
    found = context.released()
    assert {pair: version.name if version else None for pair, version in found.items()} == {
        ("relevance", "v4"): "relevance@4",
        ("relevance", "v3"): "relevance@3",
    }
    assert released.released_variants(opened(environment="production")) == {}


def test_the_command_line_tells_a_version_with_its_place_there(opened: Open, shelf: Shelf) -> None:
    from mlconsole.cli.models import version_json

    made = brought(opened(), shelf, "9")
    assert version_json(made)["origin"] == made.origin
    assert json.dumps(version_json(made))
