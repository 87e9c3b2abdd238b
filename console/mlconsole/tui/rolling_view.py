"""What the screens that are about an endpoint share for its rollout: the keys, and why one is off."""

from __future__ import annotations

from mlconsole.engine.views import EndpointView
from mlconsole.tui.rollout_words import rollout_of
from mlconsole.tui.view import View

ROLLOUT_ACTIONS = ("rollout", "pause", "next_stage", "evidence", "roll_forward", "keep_old", "go_back")
"""Actions that a rollout answers, `go_back` where there is one."""

_CONTROLS = ("pause", "next_stage", "evidence", "roll_forward", "keep_old")


class RollingView(View):
    """A view whose subject may have a rollout."""

    def shown_actions(self) -> tuple[str, ...]:
        """The keys of a rollout only where there is one; that which begins one only where there are policies."""
        one, snapshot = rollout_of(self.snapshot, self.ui.subject), self.snapshot
        gone = set(_CONTROLS) if one is None else {"keep_old"} - ({"keep_old"} if one.stops_old else set())
        if one is None and (snapshot is None or not snapshot.policies):
            gone.add("rollout")
        return tuple(name for name in self.actions if name not in gone)

    @property
    def keys_by_action(self) -> dict[str, str]:
        """The key that each action has for this person."""
        return {name: action.key for name, action in self.ui.actions_by_id.items()}

    def rollout_off(self, action: str, endpoint: EndpointView) -> str:
        """Why an action of rollouts is off just now; empty when it is not."""
        from mlconsole.tui.rolling import back_why_off, control_why_off, rollout_why_off
        from mlconsole.tui.screens.endpoints import endpoint_why_off

        key = self.ui.actions_by_id[action].key
        if action == "rollout":
            return rollout_why_off(endpoint, self.snapshot, endpoint.name, key)
        if action == "go_back":
            one = rollout_of(self.snapshot, endpoint.name)
            return back_why_off(one) if one is not None else endpoint_why_off(action, endpoint)
        return control_why_off(action, endpoint.name, self.snapshot, key, self.ui.actions_by_id["go_back"].key)

    def act_rollout(self) -> None:
        """Choose a version, and plan its rollout behind this endpoint."""
        from mlconsole.tui.rolling import choose

        choose(self.ui, self.ui.subject or None)

    def act_pause(self) -> None:
        """Hold the rollout, or let it go on."""
        self._tell("pause")

    def act_next_stage(self) -> None:
        """The next stage, without its evidence."""
        self._tell("next_stage")

    def act_evidence(self) -> None:
        """Let shadow evidence count."""
        self._tell("evidence")

    def act_roll_forward(self) -> None:
        """All of it now."""
        self._tell("roll_forward")

    def act_keep_old(self) -> None:
        """The old variant stays."""
        self._tell("keep_old")

    def _tell(self, what: str) -> None:
        from mlconsole.tui import rolling

        one = rollout_of(self.snapshot, self.ui.subject)
        if one is not None:
            getattr(rolling, what)(self.ui, one)
