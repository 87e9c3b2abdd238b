"""A version's metadata file, `model.yaml` beside its artifact: what it says, and what it still has to say.

What is missing is listed, not refused one by one, so that a person sees in one go what a version needs before it can be registered.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mlconsole.core.compatibility import works_with
from mlconsole.core.errors import UsageError
from mlconsole.core.models import Code, Data, Field, Json, Metrics, Signature, Slice, check_version
from mlconsole.core.profiles import histogram, is_token
from mlconsole.core.text import neutralise
from mlconsole.plugin.options import Kind, Option
from mlconsole.plugin.validation import Located, Problems, Sort, check, shown
from mlconsole.workspace.reading import called, read_text, read_yaml

METADATA_FILE = "model.yaml"

MOST_SLICES = 4
MOST_VALUES = 50

DATATYPES = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES")
"""The datatypes of the Open Inference Protocol."""

REQUIRED = (
    "owner",
    "parameters",
    "data.reference",
    "data.cutoff",
    "metrics.evaluation_set",
    "metrics.values",
    "preprocessing",
    "signature.inputs",
    "signature.outputs",
    "baseline",
)
"""What a version can't be registered without."""

_TOKENS = "Write them like {m: 3, 'c:DHL': 18, 'n:120': 7}: docs/artifact-format.md tells what they mean."

_MINIMAL = '{version: "1", owner: risk-models}'

_FIELD = (
    Option("name", Kind.TEXT, "the name in a request", required=True),
    Option("datatype", Kind.TEXT, "the Open Inference Protocol's name of its type", required=True, choices=DATATYPES),
    Option("required", Kind.FLAG, "whether a request has to have it", default=True),
)

_SLICE = (
    Option("key", Kind.NAME, "the slice's name", required=True),
    Option("path", Kind.TEXT, "the JSON pointer into the inputs from which it is read", required=True),
    Option("values", Kind.LIST, "the values that are told apart", of=Option("", Kind.TEXT, "a value")),
)

_FIELDS = Option("", Kind.GROUP, "a field", fields=_FIELD)

METADATA = (
    Option("model", Kind.NAME, "the model's name"),
    Option("version", Kind.TEXT, "the version, in quotes"),
    Option("artifact", Kind.PATH, "the artifact's file or folder, seen from this file"),
    Option("owner", Kind.TEXT, "who answers for it"),
    Option("description", Kind.TEXT, "one line for people", default=""),
    Option("parameters", Kind.MAP, "what it was trained with"),
    Option(
        "data",
        Kind.GROUP,
        "what it was trained on",
        fields=(
            Option("reference", Kind.TEXT, "where the training data are"),
            Option("cutoff", Kind.ANY, "until which day they reach, as an ISO date"),
        ),
    ),
    Option(
        "metrics",
        Kind.GROUP,
        "how good it is",
        fields=(
            Option("evaluation_set", Kind.TEXT, "the hash of the set it was measured on"),
            Option("values", Kind.MAP, "name → figure", of=Option("", Kind.NUMBER, "a figure")),
        ),
    ),
    Option("dependencies", Kind.ANY, "a list of requirements, or the name of a requirements file"),
    Option("preprocessing", Kind.TEXT, "where inputs are prepared: artifact, or the name of what does it"),
    Option(
        "code",
        Kind.GROUP,
        "what trained it",
        fields=(
            Option("commit", Kind.TEXT, "the commit"),
            Option("dirty", Kind.FLAG, "whether there were changes that were not committed"),
            Option("repository", Kind.TEXT, "its repository"),
        ),
    ),
    Option(
        "signature",
        Kind.GROUP,
        "what it takes and gives",
        fields=(
            Option("inputs", Kind.LIST, "its inputs", of=_FIELDS),
            Option("outputs", Kind.LIST, "its outputs", of=_FIELDS),
            Option("score", Kind.TEXT, "the output that decides"),
            Option("threshold", Kind.NUMBER, "the score from which it decides yes"),
            Option("slices", Kind.LIST, "labels of requests", of=Option("", Kind.GROUP, "a slice", fields=_SLICE)),
        ),
    ),
    Option("baseline", Kind.MAP, "the profile of the set that it was measured on"),
    Option("works_with", Kind.ANY, 'what it works with: {config: {models: ">=112"}, code: [COMMIT]}; left out, nothing is known'),
)


@dataclass(frozen=True)
class Metadata:
    """What a metadata file says; None, or empty, is what it does not say. `missing` names the required parts among that."""

    file: Path
    missing: tuple[str, ...]
    model: str | None
    version: str | None
    artifact: Path | None
    owner: str | None
    description: str
    parameters: Mapping[str, Json] | None
    data_reference: str | None
    data_cutoff: str | None
    evaluation_set: str | None
    metric_values: Mapping[str, float]
    dependencies: tuple[str, ...]
    preprocessing: str | None
    code: Code | None
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    score: str | None
    threshold: float | None
    slices: tuple[Slice, ...]
    baseline: Mapping[str, Json] | None
    works_with: Mapping[str, Json]

    @property
    def data(self) -> Data | None:
        """What it was trained on, once all of it is said."""
        return Data(self.data_reference, self.data_cutoff) if self.data_reference and self.data_cutoff else None

    @property
    def metrics(self) -> Metrics | None:
        """How good it is, once all of it is said."""
        return Metrics(self.evaluation_set, self.metric_values) if self.evaluation_set and self.metric_values else None

    @property
    def signature(self) -> Signature | None:
        """What it takes and gives, once all of it is said."""
        if not self.inputs or not self.outputs:
            return None
        return Signature(self.inputs, self.outputs, self.score, self.threshold, self.slices)


def read_metadata(path: Path) -> Metadata:
    """Read a metadata file; `path` is the file, or the folder that holds a `model.yaml`.

    Raises:
        InvalidFile: something in it is wrong (with line and column); what is only missing is listed in the result.
    """
    file = (path / METADATA_FILE if os.path.isdir(path) else path).absolute()  # noqa: PTH112 - pathlib's raises for too long a name
    where = called(file)
    node = read_yaml(file, where, minimal=_MINIMAL)
    problems = Problems(where)
    values = check(METADATA, node, problems)
    problems.raise_first()
    _check_version(values["version"], node, problems)
    cutoff = _cutoff(values["data"]["cutoff"], node, problems)
    dependencies = _dependencies(values["dependencies"], node, file.parent, problems)
    signature = values["signature"]
    inputs, outputs = (_fields(signature[key], key, node, problems) for key in ("inputs", "outputs"))
    _check_score(signature["score"], outputs, node, problems)
    _check_baseline(values["baseline"], inputs, node, problems)
    slices = _slices(signature["slices"], inputs, node, problems)
    try:
        works_with(values["works_with"])
    except UsageError as error:
        problems.add(node.at("works_with"), neutralise(error.message), next=error.next)
    problems.raise_first()
    code = Code(values["code"]["commit"], values["code"]["dirty"], values["code"]["repository"])
    said = {
        "owner": values["owner"],
        # No parameters at all is an answer, `parameters: {}`; so is not having said anything.
        "parameters": _is_map(node, "parameters"),
        "data.reference": values["data"]["reference"],
        "data.cutoff": cutoff,
        "metrics.evaluation_set": values["metrics"]["evaluation_set"],
        "metrics.values": values["metrics"]["values"],
        "preprocessing": values["preprocessing"],
        "signature.inputs": inputs,
        "signature.outputs": outputs,
        "baseline": values["baseline"],
    }
    return Metadata(
        file=file,
        missing=tuple(name for name in REQUIRED if not said[name]),
        model=values["model"],
        version=values["version"],
        artifact=file.parent / values["artifact"] if values["artifact"] else None,
        owner=values["owner"] or None,
        description=values["description"],
        parameters=values["parameters"] if _is_map(node, "parameters") else None,
        data_reference=values["data"]["reference"] or None,
        data_cutoff=cutoff,
        evaluation_set=values["metrics"]["evaluation_set"] or None,
        metric_values=values["metrics"]["values"],
        dependencies=dependencies,
        preprocessing=values["preprocessing"] or None,
        code=code if code != Code() else None,
        inputs=inputs,
        outputs=outputs,
        score=signature["score"],
        threshold=signature["threshold"],
        slices=slices,
        baseline=values["baseline"] or None,
        works_with=values["works_with"] or {},
    )


def _is_map(node: Located, key: str) -> bool:
    found = node.get(key)
    return found is not None and found.sort is Sort.MAP


def _check_version(version: str | None, node: Located, problems: Problems) -> None:
    if version is not None:
        try:
            check_version(version)
        except UsageError as error:
            problems.add(node.at("version"), neutralise(error.message))


def _cutoff(value: Any, node: Located, problems: Problems) -> str | None:
    if value is None or value == "":
        return None
    try:
        # `fromisoformat` takes weeks and days without dashes too, which people and other languages read wrongly.
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    at = node.at("data", "cutoff")
    problems.add(at, f'data.cutoff "{shown(at.raw)}" is no date.', next="Write the day like 2026-01-31.")
    return None


def _dependencies(value: Any, node: Located, folder: Path, problems: Problems) -> tuple[str, ...]:
    at = node.at("dependencies")
    if value is None:
        return ()
    if isinstance(value, str) and value and "\0" not in value:
        file = folder / value
        lines = (line.split(" #")[0].strip() for line in read_text(file, called(file)).splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))
    if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    problems.add(at, "dependencies has to be a list of texts, or the name of a requirements file.", next='Write ["numpy==2.3.1"].')
    return ()


def _fields(values: list[dict[str, Any]], key: str, node: Located, problems: Problems) -> tuple[Field, ...]:
    fields = tuple(Field(value["name"], value["datatype"], value["required"]) for value in values)
    seen: set[str] = set()
    for index, found in enumerate(fields):
        at = node.at("signature", key, index, "name")
        if not found.name:
            problems.add(at, f"signature.{key}[{index}].name is empty.")
        elif found.name in seen:
            problems.add(at, f'signature.{key} names "{shown(found.name)}" twice.')
        seen.add(found.name)
    return fields


def _check_score(score: str | None, outputs: tuple[Field, ...], node: Located, problems: Problems) -> None:
    names = [output.name for output in outputs]
    if score is not None and names and score not in names:
        problems.add(node.at("signature", "score"), f'signature.score "{shown(score)}" is no output.', meant=score, known=names)


def _check_baseline(said: Mapping[str, Json], inputs: tuple[Field, ...], node: Located, problems: Problems) -> None:
    """What health reads of the profile has to be of the form that it reads; the rest is the author's own."""
    score = said.get("score")
    if isinstance(score, dict) and {"edges", "counts"} <= score.keys() and not histogram(score["edges"], score["counts"])[0]:
        text = "baseline.score is no histogram: edges have to rise, and to be one more than counts, which are whole numbers."
        problems.add(node.at("baseline", "score"), text, key=True)
    fields = node.get("baseline", "fields")
    if fields is None or fields.sort is Sort.NOTHING:
        return
    if fields.sort is not Sort.MAP:
        problems.add(fields, "baseline.fields has to be a group of input fields, each with its counts.", next=_TOKENS)
        return
    names = [field.name for field in inputs]
    for name, counts in fields.value.items():
        if names and name not in names:
            problems.add(counts, f'baseline.fields: "{shown(name)}" is no input.', meant=name, known=names, key=True)
        elif counts.sort is not Sort.MAP:
            problems.add(counts, f"{shown(counts.path)} has to be a group of tokens with their counts.", next=_TOKENS)
        else:
            _check_tokens(counts, problems)


def _check_tokens(counts: Located, problems: Problems) -> None:
    for token, count in counts.value.items():
        if not is_token(token):
            problems.add(count, f'{shown(counts.path)}: "{shown(token)}" is no token.', next=_TOKENS, key=True)
        elif not isinstance(count.value, int) or count.sort is not Sort.NUMBER or count.value < 0:
            problems.add(count, f"{shown(counts.path)}: {shown(token)} has to be counted with a whole number.", next=_TOKENS)


def _slices(values: list[dict[str, Any]], inputs: tuple[Field, ...], node: Located, problems: Problems) -> tuple[Slice, ...]:
    if len(values) > MOST_SLICES:
        problems.add(node.at("signature", "slices", MOST_SLICES), f"{len(values)} slices: at most {MOST_SLICES} are told apart.")
    names = [field.name for field in inputs]
    keys: set[str] = set()
    for index, value in enumerate(values):
        key, pointer, labels = value["key"], value["path"], value["values"]
        if key in keys:
            problems.add(node.at("signature", "slices", index, "key"), f'the slice "{shown(key)}" is declared twice.')
        keys.add(key)
        at = node.at("signature", "slices", index, "path")
        first = pointer[1:].split("/")[0].replace("~1", "/").replace("~0", "~")
        if not pointer.startswith("/") or not first:
            problems.add(at, f'"{shown(pointer)}" is no JSON pointer into the inputs.', next="Write it like /language.")
        elif names and first not in names:
            problems.add(at, f'"{shown(pointer)}" points to no input.', meant=first, known=names)
        at = node.at("signature", "slices", index, "values")
        if len(labels) > MOST_VALUES:
            problems.add(at, f"{len(labels)} values of {shown(key)}: at most {MOST_VALUES} are told apart, the rest is other.")
        elif len(set(labels)) < len(labels):
            problems.add(at, f"a value of {shown(key)} stands there twice.")
    return tuple(Slice(value["key"], value["path"], tuple(value["values"])) for value in values)


def template() -> str:
    """A commented metadata file to fill in: reading it as it is lists everything that is required as missing."""
    return _TEMPLATE


_TEMPLATE = """\
# What mlconsole has to know about a model version. Put this file beside its artifact as model.yaml.
# Lines that are commented out are optional.

# model: relevance
# version: "4"                 # in quotes: 1.10 without them is the number 1.1
# artifact: artifact           # the file or folder, seen from here

owner:                         # who answers for it: a team, a person
# description: one line

parameters:                    # what it was trained with; {} when there is nothing to tell
  # C: 1.0

data:
  reference:                   # where the training data are
  cutoff:                      # until which day they reach, like 2026-01-31

metrics:
  evaluation_set:              # the hash of the set it was measured on, like "sha256:…": only then figures compare
  values:
    # f1: 0.88
    # f1/en: 0.9               # of one slice: NAME/VALUE

# dependencies: [scikit-learn==1.9.1]      # or the name of a file: requirements.txt

preprocessing:                 # where inputs are prepared: artifact, or the name of what does it

# code: {commit: "9e2b7aa", dirty: false, repository: "git@example.org:models.git"}

signature:
  inputs:
    # - {name: title, datatype: BYTES}
    # - {name: language, datatype: BYTES, required: false}
  outputs:
    # - {name: score, datatype: FP32}
  # score: score               # the output that decides
  # threshold: 0.5             # from which it decides yes
  # slices:                    # labels of requests: at most 4, with at most 50 values each
  #   - {key: language, path: /language, values: [en, de, pl]}

baseline:                      # the profile of the set it was measured on: docs/artifact-format.md; further keys are yours
  # n: 1500
  # score: {edges: [0, 0.5, 1], counts: [1002, 498]}
  # over_threshold: 0.33
"""
