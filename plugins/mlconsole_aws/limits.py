"""What SageMaker can express. Pure."""

from __future__ import annotations

import re

from mlconsole.core.releases import Content
from mlconsole.core.transitions import check_limits
from mlconsole.plugin.errors import Refused
from mlconsole.plugin.roles import Limits
from mlconsole_aws.naming import LONGEST, Names, pattern

VARIANTS = 10
"""Production variants behind one endpoint."""


def limits(names: Names) -> Limits:
    """Weights are relative, so every basis point can be said; all requests are split alike; one shadow beside one production variant. Where
    each variant is an endpoint of its own, somebody else splits."""
    endpoint, variant = names.room
    return Limits(
        share_granularity=1,
        slices=False,
        shadow=not names.by_name,
        variant_name=pattern(variant, behind=names.by_name),
        endpoint_name=pattern(endpoint),
        variants=VARIANTS,
    )


def check(names: Names, endpoint: str, target: Content) -> None:
    """Refuse what can't be expressed, before anything is touched.

    Raises:
        Refused, UsageError: and why.
    """
    own = limits(names)
    if target.variants and not re.fullmatch(own.endpoint_name, endpoint) and endpoint not in names.adopted:
        raise Refused(f"{endpoint!r} can't name an endpoint at SageMaker: {own.endpoint_name} is wanted.")
    check_limits(
        target,
        granularity=own.share_granularity,
        slices=own.slices or names.by_name,
        shadow=own.shadow or names.by_name,
        variant_pattern=own.variant_name,
        most_variants=own.variants,
    )
    for variant in target.variants if names.by_name else ():
        native = names.native(endpoint, variant.name)
        if len(native) > LONGEST:
            raise Refused(f"{variant.name} would be the SageMaker endpoint {native}, which is longer than {LONGEST} characters.")
        if names.reading(native) != (endpoint, variant.name):
            raise Refused(
                f"{variant.name} would be the SageMaker endpoint {native}, which nobody could tell from another one's variant.",
                next="Name it v1, v2, …; or name its SageMaker endpoint under options → aws → sagemaker → adopted.",
            )
    traffic = target.traffic
    if names.by_name or traffic is None:
        return
    if traffic.shadow is not None and traffic.shadow.sample and len(target.variants) != 2:
        raise Refused(
            f"SageMaker has a shadow beside exactly one other variant; these would be {len(target.variants)}.",
            next="Remove the others first, or end the shadow: --shadow none.",
        )
    for name in traffic.split:
        if target.variant(name) is None:
            raise Refused(f'The traffic names "{name}", which is no variant of this release.')
