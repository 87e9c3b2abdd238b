"""Made-up model versions, complete enough for every rule of the console."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from mlconsole.core.models import Actor, Artifact, Data, Field, Metrics, ModelVersion, Signature, Slice
from mlconsole.core.models import variant_name as default_name
from mlconsole.core.releases import Variant
from mlconsole.plugin.artifacts import measure

LANGUAGE = Slice("language", "/language", ("en", "de", "pl"))


def simulated_version(
    model: str = "relevance", version: str = "1", *, slices: tuple[Slice, ...] = (LANGUAGE,), folder: Path | None = None
) -> ModelVersion:
    """A version whose bytes are its name. With a `folder`, the artifact is really written there, and measured."""
    content = f"simulated artifact of {model}@{version}\n".encode()
    if folder is None:
        artifact = Artifact(f"sim://{model}/{version}", f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
    else:
        path = folder / f"{model}-{version}.sim"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        measured = measure(path)
        artifact = Artifact(str(path), measured.digest, measured.size, measured.files)
    labels = (Field(each.key, "BYTES", required=False) for each in slices)
    inputs = (Field("text", "BYTES"), Field("length", "FP32", required=False), *labels)
    return ModelVersion(
        model,
        version,
        artifact,
        Signature(inputs, (Field("score", "FP32"),), "score", 0.5, slices),
        "simulator",
        Data("simulated", "2026-01-01"),
        Metrics("sha256:simulated", {"accuracy": 0.9}),
        {},
        {},
        "none",
        datetime(2026, 1, 5, tzinfo=UTC),
        Actor("simulator", "localhost"),
    )


def variant_of(version: ModelVersion, name: str | None = None) -> Variant:
    """The version as a release names it, under its default variant name unless another is given."""
    return Variant(name or default_name(version.version), version.model, version.version, version.artifact.digest)
