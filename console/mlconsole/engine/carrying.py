"""What a change carries besides variants and traffic: the config document of its plan, and the bytes that its steps need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlconsole.core.documents import WHOLE, document_of
from mlconsole.core.plans import Plan
from mlconsole.core.steps import Step

if TYPE_CHECKING:
    from mlconsole.registry import Registry


def carried(plan: Plan) -> str | None:
    """The config document that an endpoint's change publishes beside; None for a document's own change, which is about nothing else."""
    if document_of(plan.endpoint) is not None:
        return None
    there = plan.then.document or plan.now.document
    return None if there is None else there.name


def bytes_for(registry: Registry, step: Step) -> Mapping[str, bytes]:
    """Digest → bytes of what a step publishes, and of what the other clients go on reading, as far as they are kept here: what the store
    holds already it has itself.
    """
    wanted = step.document
    if wanted is None:
        return {}
    digests = [wanted.digest, *([wanted.before_digest] if wanted.share < WHOLE and wanted.before_digest else [])]
    found = {digest: registry.bytes_of(digest) for digest in digests}
    return {digest: body for digest, body in found.items() if body is not None}
