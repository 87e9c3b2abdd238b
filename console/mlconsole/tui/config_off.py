"""Why a key of Config is off just now, in one sentence; empty when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlconsole.engine.documentviews import DocumentView
from mlconsole.tui import config_words as words
from mlconsole.tui.config_attention import several
from mlconsole.tui.rollout_words import stage_name, version_of

if TYPE_CHECKING:
    from mlconsole.tui.config_keys import ConfigKeys

_ALWAYS = ("help", "copy", "more", "faults", "next_endpoint", "less", "greater")
_DRAFTING = ("enter", "edit", "move", "rebase")


def why_off(view: ConfigKeys, action: str) -> str:
    """Why, as far as it depends on the document, its draft and the cursor."""
    if action in _ALWAYS or action not in view.actions:
        return ""
    one, key = view.document(), view.ui.actions_by_id[action].key
    if one is None:
        return "Off: there is no config document here. configs: in mlconsole.yaml adds one; this screen tells how."
    off = f"{key} is off" if key else "Off"
    if action in _DRAFTING:
        return _drafting(view, one, action, off)
    name = f"config {one.name}"
    if action in ("raw", "compare") and one.version is None and one.draft is None:
        return f"{off}: nothing of {name} is published yet. {view.keys_by_action['edit']} begins a draft."
    if action == "compare" and len(one.versions) < 2 and one.draft is None and len(view.ui.workspace.environments) < 2:
        return f"{off}: {one.version} is the only version of {name}."
    if action == "mark" and view.entry() is None:
        return f"{off}: there is no entry under the cursor."
    if action == "remove" and one.draft is None:
        return f"{off}: {name} has no draft that could be discarded."
    if action == "keep" and not one.outside:
        return f"{off}: {name} is as mlconsole left it; there is nothing to keep."
    if action in ("pause", "next_stage"):
        return _telling(view, one, action, off)
    if action == "go_back":
        return _going_back(view, one, off)
    return _publishing(view, one, off) if action == "publish" else ""


def _drafting(view: ConfigKeys, one: DocumentView, action: str, off: str) -> str:
    elsewhere = action == "enter" and (view.at_publication or view.pane_with_keys() != "main")
    if elsewhere:
        return ""
    read_only = view.ui.read_only or (view.snapshot is not None and view.snapshot.status.read_only)
    if read_only:
        return f"{off}: read only. Nothing was changed."
    if one.problem:
        return f"{off}: config {one.name} can't be read: {one.problem}"
    if action == "rebase":
        return "" if words.outdated(one) else f"{off}: the draft was begun on what is live."
    entry = view.entry()
    if action == "edit":
        return ""
    if entry is None:
        return f"{off}: there is no entry under the cursor. {view.keys_by_action['edit']} opens all of it in your editor."
    if action == "enter":
        return ""
    if not words.moved_cell(entry, view.matrix.cell):
        which = f"{words.named(entry)} is changed in {' and '.join(entry.changed)}: put the cursor on one" if entry.changed else ""
        return f"{off}: {which or f'the draft changes nothing of {words.named(entry)}. enter changes a value'}."
    return "" if words.siblings(one, entry) else f"{off}: {entry.model} has no other {one.slice_word} that it could be meant for."


def _telling(view: ConfigKeys, one: DocumentView, action: str, off: str) -> str:
    rollout = view.publication()
    if rollout is None:
        return f"{off}: config {one.name} is not being published in stages. {view.keys_by_action['publish']} publishes a draft."
    wanted = {"pause", "resume"} if action == "pause" else {"next"}
    if wanted & set(rollout.controls):
        return ""
    why = "which nothing holds up" if action == "pause" else "and no stage is waited for"
    return f"{off}: {version_of(rollout)} is {rollout.state}, {why}."


def _going_back(view: ConfigKeys, one: DocumentView, off: str) -> str:
    rollout = view.publication()
    if rollout is not None:
        return "" if "revert" in rollout.controls else f"{off}: {version_of(rollout)} is {rollout.state} already; it ends by itself."
    if view.change() is not None or one.outside:
        return ""
    if one.version is None:
        return f"{off}: nothing of config {one.name} is published yet."
    return "" if words.way_back_told(one) else f"{off}: nothing to go back to, {one.version} is the first version of config {one.name}."


def _publishing(view: ConfigKeys, one: DocumentView, off: str) -> str:
    rollout, change, keys = view.publication(), view.change(), view.keys_by_action
    if rollout is not None:
        at = f"config {one.name} {version_of(rollout)} is at {stage_name(rollout)} of clients"
        return f"{off}: {at}. {keys['go_back']} takes it back, {keys['pause']} holds it."
    if change is not None:
        return f"{off}: config {one.name} is changing ({change.doing or change.state}). {keys['go_back']} goes back."
    if one.outside:
        return f"{off}: config {one.name} was changed outside mlconsole. {keys['go_back']} puts ours back, {keys['keep']} keeps theirs."
    draft = one.draft
    if draft is None:
        return f"{off}: there is no draft. enter on a value, or {keys['edit']}, begins one."
    if words.outdated(one):
        begun = f"the draft was begun on {draft.base or 'nothing'}, live is {one.version or 'nothing'}"
        return f"{off}: {begun}. {keys['more']}, then rebase, puts its edits onto what is live."
    stops = words.stopping(draft)
    if stops:
        more = f" and {several(len(stops) - 1, 'finding')} more" if len(stops) > 1 else ""
        return f"{off}: {stops[0].text}{more}. Nothing was published."
    if one.version is not None and not draft.differences and not draft.text:
        return f"{off}: the draft says what is live already."
    return ""
