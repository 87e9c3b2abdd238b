"""model.yaml: what it says about a version, and what it still has to say."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlconsole.core.errors import InvalidFile
from mlconsole.core.models import Code, Data, Field, Metrics, Signature, Slice
from mlconsole.core.text import neutralise
from mlconsole.workspace import REQUIRED, Metadata, read_metadata, template

SAMPLE = """\
model: relevance
version: "4"
artifact: artifact
owner: risk-models
description: one line
parameters: {C: 1e-3, ngrams: [1, 2], solver: lbfgs}
data: {reference: events/train.jsonl, cutoff: "2026-01-31"}
metrics: {evaluation_set: "sha256:abc", values: {f1: 0.88, f1/en: 0.9}}
dependencies: [scikit-learn==1.9.1]
preprocessing: artifact
code: {commit: 9e2b7aa, dirty: false}
signature:
  inputs:  [{name: title, datatype: BYTES}, {name: language, datatype: BYTES, required: false}]
  outputs: [{name: score, datatype: FP32}]
  score: score
  threshold: 0.5
  slices: [{key: language, path: /language, values: [en, de, pl]}]
baseline: {score: {mean: 0.31}}
"""


def read(folder: Path, text: str | bytes) -> Metadata:
    file = folder / "model.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_metadata(file)


def told(folder: Path, text: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        read(folder, text)
    message = caught.value.message
    assert message.isprintable()
    assert caught.value.next
    return message[message.index("model.yaml") :]


def test_the_sample(tmp_path: Path) -> None:
    found = read(tmp_path, SAMPLE)
    assert found.missing == ()
    assert (found.model, found.version, found.owner, found.artifact) == ("relevance", "4", "risk-models", tmp_path / "artifact")
    assert found.parameters == {"C": 0.001, "ngrams": [1, 2], "solver": "lbfgs"}
    assert found.data == Data("events/train.jsonl", "2026-01-31")
    assert found.metrics == Metrics("sha256:abc", {"f1": 0.88, "f1/en": 0.9})
    assert found.code == Code("9e2b7aa", False, None)
    assert found.dependencies == ("scikit-learn==1.9.1",)
    assert found.signature == Signature(
        (Field("title", "BYTES"), Field("language", "BYTES", required=False)),
        (Field("score", "FP32"),),
        "score",
        0.5,
        (Slice("language", "/language", ("en", "de", "pl")),),
    )
    assert found.baseline == {"score": {"mean": 0.31}}
    assert read_metadata(tmp_path) == found


def test_what_is_missing_is_listed_at_once(tmp_path: Path) -> None:
    found = read(tmp_path, "version: '1'\ndata: {reference: x}\nmetrics: {values: {}}\nowner:\nsignature: {inputs: []}\n")
    assert found.missing == tuple(name for name in REQUIRED if name != "data.reference")
    assert (found.owner, found.data, found.metrics, found.signature, found.code) == (None, None, None, None, None)


def test_no_parameters_is_an_answer(tmp_path: Path) -> None:
    assert "parameters" not in read(tmp_path, "parameters: {}").missing
    assert "parameters" in read(tmp_path, "parameters:\nowner: a").missing


def test_the_template_lists_everything_as_missing_and_nothing_as_wrong(tmp_path: Path) -> None:
    assert read(tmp_path, template()).missing == REQUIRED


@pytest.mark.parametrize("text", ["2026-01-31", "'2026-01-31'"])
def test_the_cutoff_is_a_day_quoted_or_not(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"data: {{cutoff: {text}}}").data_cutoff == "2026-01-31"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1.10", '1:10: version 1.10 is a number in YAML and would lose its last digit; write "1.10".'),
        ("version: 4", '1:10: version 4 is a number in YAML; write "4".'),
        ("version: latest", '1:10: "latest" is no version'),
        ("version: 'a b'", "1:10: 'a b' is no version"),
        ("onwer: a", '1:1: unknown key "onwer". Did you mean owner?'),
        ("data: {cutof: x}", '1:8: unknown key "cutof" in data. Did you mean cutoff?'),
        ("data: {cutoff: 2026-1-5}", '1:16: data.cutoff "2026-1-5" is no date.'),
        ("data: {cutoff: 2026-02-31}", '1:16: data.cutoff "2026-02-31" is no date.'),
        ("data: {cutoff: '20260131'}", '1:16: data.cutoff "20260131" is no date.'),
        ("data: {cutoff: 20260131}", '1:16: data.cutoff "20260131" is no date.'),
        ("data: {cutoff: 2026-01-31 10:00:00}", "1:16: data.cutoff"),
        ("metrics: {values: {f1: .nan}}", "1:24: metrics.values.f1 .nan is no finite number."),
        ("metrics: {values: {f1: good}}", "1:24: metrics.values.f1 has to be a number"),
        ("code: {commit: 1234567}", '1:16: code.commit 1234567 is a number in YAML; write "1234567".'),
        ("code: {commit: 12e4567}", '1:16: code.commit 12e4567 is a number in YAML; write "12e4567".'),
        ("dependencies: {a: b}", "1:15: dependencies has to be a list of texts"),
        ("dependencies: [1.10]", "1:15: dependencies has to be a list of texts"),
        ("signature: {inputs: [{name: a, datatype: BYTE}]}", '1:42: signature.inputs[0].datatype "BYTE" is not one of what it can be.'),
        ("signature: {inputs: [{datatype: BYTES}]}", "1:22: signature.inputs[0].name is missing"),
        ("signature: {inputs: [{name: a, datatype: BYTES}, {name: a, datatype: BYTES}]}", '1:57: signature.inputs names "a" twice.'),
        (
            "signature: {score: scor, outputs: [{name: score, datatype: FP32}]}",
            '1:20: signature.score "scor" is no output. Did you mean score?',
        ),
        ("signature: {slices: [{key: a, path: a}]}", '1:37: "a" is no JSON pointer into the inputs.'),
        (
            "signature: {slices: [{key: a, path: /langage}], inputs: [{name: language, datatype: BYTES}]}",
            '1:37: "/langage" points to no input. Did you mean language?',
        ),
        (
            "signature: {slices: [{key: a, path: /a, values: [en, no]}]}",
            '1:54: signature.slices[0].values[1] no is a flag in YAML; write "no".',
        ),
        ("signature: {slices: [{key: a, path: /a}, {key: a, path: /b}]}", '1:48: the slice "a" is declared twice.'),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    assert told(tmp_path, text).startswith(f"model.yaml:{expected}")


def test_slices_are_bounded(tmp_path: Path) -> None:
    def text(keys: int, values: int) -> str:
        labels = ", ".join(f"v{index}" for index in range(values))
        return f"signature: {{slices: [{', '.join(f'{{key: k{key}, path: /k{key}, values: [{labels}]}}' for key in range(keys))}]}}"

    assert len(read(tmp_path, text(4, 50)).slices) == 4
    assert "5 slices: at most 4 are told apart." in told(tmp_path, text(5, 1))
    assert "51 values of k0: at most 50" in told(tmp_path, text(1, 51))


def test_dependencies_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# pinned\nscikit-learn==1.9.1  # why\n\n  onnx>=1.20\n-e git+https://x/y#egg=z\n")
    found = read(tmp_path, "dependencies: requirements.txt").dependencies
    assert found == ("scikit-learn==1.9.1", "onnx>=1.20", "-e git+https://x/y#egg=z")
    with pytest.raises(InvalidFile, match=r"missing.txt can't be read: No such file"):
        read(tmp_path, "dependencies: missing.txt")


BASELINE = """signature: {inputs: [{name: title, datatype: BYTES}]}
baseline:
  score: {edges: [0, 0.5, 1], counts: [7, 3]}
  fields:
    title: {m: 1, 'c:a b': 2, 'l:-12': 3, 'n:7': 0}
  mine: [1, {x: y}]
"""


def test_a_profile_of_scores_and_input_fields(tmp_path: Path) -> None:
    baseline = read(tmp_path, BASELINE).baseline
    assert baseline is not None
    assert baseline["fields"] == {"title": {"m": 1, "c:a b": 2, "l:-12": 3, "n:7": 0}}
    assert read(tmp_path, "baseline: {score: {edges: [0, 1]}, fields: }").baseline == {"score": {"edges": [0, 1]}, "fields": None}


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ("title: {m: 1", "titel: {m: 1", '5:5: baseline.fields: "titel" is no input. Did you mean title?'),
        ("'l:-12': 3", "'l:long': 3", '5:31: baseline.fields.title: "l:long" is no token.'),
        ("'l:-12': 3", "word: 3", '5:31: baseline.fields.title: "word" is no token.'),
        ("'c:a b': 2", "'c:a b': 2.5", "5:28: baseline.fields.title: c:a b has to be counted with a whole number."),
        ("'c:a b': 2", "'c:a b': true", "5:28: baseline.fields.title: c:a b has to be counted with a whole number."),
        ("'c:a b': 2", "'c:a b': -2", "5:28: baseline.fields.title: c:a b has to be counted with a whole number."),
        ("{m: 1, 'c:a b': 2, 'l:-12': 3, 'n:7': 0}", "[m]", "5:12: baseline.fields.title has to be a group of tokens with their counts."),
        ("\n    title: {m: 1, 'c:a b': 2, 'l:-12': 3, 'n:7': 0}", " 3", "4:11: baseline.fields has to be a group of input fields"),
        ("[7, 3]", "[7]", "3:3: baseline.score is no histogram: edges have to rise"),
        ("[0, 0.5, 1]", "[0, 0.5, 0.5]", "3:3: baseline.score is no histogram"),
        ("[7, 3]", "[7, -3]", "3:3: baseline.score is no histogram"),
    ],
)
def test_a_profile_that_nobody_could_read(tmp_path: Path, was: str, now: str, why: str) -> None:
    assert BASELINE.count(was) == 1
    assert why in told(tmp_path, BASELINE.replace(was, now))


def harmless(error: InvalidFile) -> None:
    assert neutralise(str(error)) == str(error)
    assert error.next


TEMPORARY = tempfile.TemporaryDirectory(prefix="mlconsole-metadata-")
FOLDER = Path(TEMPORARY.name)
PIECES = [
    "",
    " ",
    "\t",
    "\n",
    ":",
    "[",
    "}",
    "&a ",
    "*a",
    "1.10",
    "no",
    "~",
    '"',
    "\x00",
    "\x1b",
    "ü",
    "- ",
    "owner: ",
    "0x1",
    "{}",
    ".nan",
    "2026-01-31",
]


@given(
    st.binary(max_size=200)
    | st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=4)
)
def test_damage_is_metadata_or_one_error(damage: bytes | list[tuple[int, int, str]]) -> None:
    data = damage if isinstance(damage, bytes) else SAMPLE
    for start, length, piece in damage if isinstance(damage, list) else ():
        assert isinstance(data, str)
        data = data[:start] + piece + data[start + length :]
    try:
        read(FOLDER, data)
    except InvalidFile as error:
        harmless(error)
