"""Shares in basis points ↔ SageMaker's relative weights. Pure.

Shares are sent as weights as they are (9 000 and 1 000), which a 32-bit float holds exactly; so they come back as they went. Weights that
somebody else set (1 and 3, 0.9 and 0.1) are told as the nearest shares that sum to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlconsole.core.traffic import WHOLE
from mlconsole.plugin.errors import Refused


def shares(weights: Mapping[str, float]) -> dict[str, int] | None:
    """Each variant's share by largest remainder; None where nobody has any weight, so that nobody is sent anything."""
    total = sum(weights.values())
    if not total > 0:
        return None
    exact = {name: weight * WHOLE / total for name, weight in weights.items()}
    whole = {name: int(value) for name, value in exact.items()}
    order = sorted(weights, key=lambda name: (whole[name] - exact[name], -weights[name], name))
    for name in order[: WHOLE - sum(whole.values())]:
        whole[name] += 1
    return whole


def sample(shadow: float, weights: Mapping[str, float]) -> int:
    """How much of the requests a shadow variant of that weight gets copies of: its weight against those of production."""
    total = sum(weights.values())
    return min(WHOLE, round(shadow * WHOLE / total)) if total > 0 else 0


def weights(split: Mapping[str, int]) -> dict[str, float]:
    """The weights that say these shares.

    Raises:
        Refused: nobody would get anything; SageMaker takes that, and refuses every request then (trap 14).
    """
    if not any(split.values()):
        raise Refused("All weights would be 0, so that SageMaker could send no request to anybody. Nothing was changed.")
    return {name: float(share) for name, share in split.items()}
