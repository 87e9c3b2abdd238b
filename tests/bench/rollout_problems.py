"""After a rollout with faults: whether it came to a legal end by a legal path, and its journal is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from mlconsole.core.live import Transition, differences
from mlconsole.core.operations import OperationState, StepState
from mlconsole.core.releases import Standing
from mlconsole.core.rollouts import LEGAL_EXITS, Rollout, RolloutState
from mlconsole.core.traffic import WHOLE
from mlconsole.engine.session import Session


def problems(session: Session, rollout: Rollout) -> list[str]:
    """A legal end by a legal path, the journal whole, nothing applied twice, the endpoint as its live release says, nothing held, nobody
    told twice; in words what of that is not so."""
    found = []
    if not rollout.state.terminal or rollout.ended is None:
        return [f"it is {rollout.state}: {rollout.why}"]
    registry, environment = session.registry, session.environment.name
    found += _path(session, rollout)
    live = session.backend.describe(rollout.endpoint)
    recorded = registry.live_release(environment, rollout.endpoint)
    content = recorded.release.content if recorded else rollout.revert_to
    found += [f"live: {one}" for one in differences(live, content)]
    if live.transition is Transition.IN_PROGRESS:
        found.append("the backend is still changing it")
    if rollout.state is RolloutState.REVERTED and content != rollout.revert_to:
        found.append("it is not what it was before the first stage")
    if rollout.state is RolloutState.DONE and (content.traffic is None or content.traffic.share(rollout.variant) != WHOLE):
        found.append("it is done, and the new variant has not all of it")
    found += _journal(session, rollout)
    if registry.claim(environment, rollout.endpoint) is not None or registry.controls(rollout.id):
        found.append("the claim, or something that was asked, is still there")
    told = Counter((row.channel, row.notice.key) for row in registry.notices(environment, limit=100_000))
    return found + [f"{channel} was told {key} {count} times" for (channel, key), count in told.items() if count > 1]


def risen(tokens: Sequence[tuple[int, str]]) -> list[str]:
    """Fencing tokens, each with what was done under it, in the order of the doing: none is older than one that was seen before."""
    newest, found = 0, []
    for token, what in tokens:
        if token < newest:
            found.append(f"{what} was done with token {token} after {newest}")
        newest = max(newest, token)
    return found


def _path(session: Session, rollout: Rollout) -> list[str]:
    events = session.registry.rollout_events(rollout.id)
    states = [RolloutState.SHIFTING, *(RolloutState(one.kind) for one in events if one.kind in set(RolloutState))]
    found = []
    for before, after in pairwise(states):
        # Between two of them a word of somebody's may lie, which is noted under that word.
        reach = {before, *LEGAL_EXITS[before]}
        if after not in reach | {one for step in reach for one in LEGAL_EXITS[step]}:
            found.append(f"{after} followed {before}")
    keys = Counter(one.key for one in events if one.key)
    return found + [f"{key} is noted twice" for key, count in keys.items() if count > 1]


def _journal(session: Session, rollout: Rollout) -> list[str]:
    registry, environment = session.registry, session.environment.name
    found = []
    releases = registry.releases(environment, rollout.endpoint, limit=100_000)
    if sorted(one.release.number for one in releases) != list(range(1, len(releases) + 1)):
        found.append("releases are missing")
    standing = Counter(one.standing for one in releases)
    if standing[Standing.LIVE] != 1 or standing[Standing.PENDING]:
        found.append(f"releases stand as {dict(standing)}")
    operations = registry.operations(environment, rollout.endpoint, limit=100_000)
    for operation in operations:
        if not operation.state.terminal or operation.ended is None:
            found.append(f"change {operation.id} is {operation.state}")
        steps = registry.steps(operation.id)
        found += [f"step {one.index} of {operation.id} is open" for one in steps if one.state is StepState.INTENDED]
    stood = [one for one in sorted(operations, key=lambda one: one.release) if one.state is OperationState.DONE]
    twice = [after.id for before, after in pairwise(stood) if before.plan.then == after.plan.then]
    return found + [f"change {one} applied what stood already" for one in twice]
