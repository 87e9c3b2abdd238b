"""What we write on things at AWS, so that whose they are can be told later: tags, a model's own environment, the ids of our requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mlconsole.plugin import Context

REGISTRY, ENDPOINT, VARIANT = "mlconsole:registry", "mlconsole:endpoint", "mlconsole:variant"
RELEASE, DIGEST, FENCE = "mlconsole:release", "mlconsole:digest", "mlconsole:fence"
"""Tags."""

MODEL_DIGEST, MODEL_NAME, MODEL_VERSION = "MLCONSOLE_DIGEST", "MLCONSOLE_MODEL", "MLCONSOLE_VERSION"
"""Environment variables of the containers that we define. A SageMaker model never changes, its tags may: so what says which bytes run
stands here, and comes with DescribeModel, without a call for each model's tags."""

PROBE, PINNED = "mlconsole-probe-", "mlconsole-pinned-"
"""How the inference ids of our own questions begin, by which captured data are marked: a probe, and a request to a variant by its name."""

_NO_TAG = re.compile(r"[^\w .:/=+\-@]")


def registry_of(context: Context) -> str:
    """Whose workspace and environment this is, as tags say it: `ml-platform/production`."""
    return taggable(f"{context.root.resolve().name}/{context.environment}")


def taggable(text: str) -> str:
    """A text as a tag's value can hold it: what it can't becomes `+`, as the `#` of a release does."""
    return _NO_TAG.sub("+", text)[:256]


def as_tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    """As AWS wants them."""
    return [{"Key": key, "Value": taggable(value)} for key, value in values.items() if value]


def tags_of(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """As AWS tells them."""
    return {one["Key"]: one.get("Value", "") for one in found}
