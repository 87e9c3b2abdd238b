"""Score events with an artifact in this process, as the model server would (docs/artifact-format.md)."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

WORD = re.compile(r"[^\W\d_]+")
Inputs = dict[str, Any]
Vectors = dict[str, "NDArray[np.float32]"]


class MissingField(ValueError):
    """What the server answers with a 400."""


def words(text: str) -> list[str]:
    """The words of a text as `redis_vectors` splits it."""
    return WORD.findall(text.lower())


def mean_vectors(texts: Sequence[str], vectors: Mapping[str, NDArray[np.float32]], size: int) -> NDArray[np.float32]:
    """For each text the mean over its known words (each occurrence counts); zeros where none is known."""
    rows = np.zeros((len(texts), size), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        known = [vectors[word] for word in words(text) if word in vectors]
        if known:
            row[:] = np.mean(known, axis=0, dtype=np.float32)
    return rows


def read_vectors(path: Path) -> Vectors:
    """Word vectors from a file of lines `word<TAB>base64 of little-endian float32`."""
    pairs = (line.split("\t") for line in path.read_text("utf-8").splitlines())
    return {word: np.frombuffer(base64.b64decode(code), dtype="<f4") for word, code in pairs}


def write_vectors(path: Path, vectors: Vectors) -> None:
    """Word vectors into such a file, in the order of the words."""
    lines = (f"{w}\t{base64.b64encode(vectors[w].astype('<f4').tobytes()).decode()}\n" for w in sorted(vectors))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), "utf-8")


class Artifact:
    """A model with its preprocessing. `vectors` stands for the Redis connection."""

    def __init__(self, folder: Path, vectors: Vectors | None = None) -> None:
        self.serving: dict[str, Any] = json.loads((folder / "serving.json").read_text("utf-8"))
        self.vectors = vectors or {}
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def check(self, inputs: Inputs) -> None:
        """Refuse a request that lacks a required field."""
        required = self.serving["required"]
        names = required["*"]
        for rule, fields in required.items():
            key, _, value = rule.partition("=")
            if value and str(inputs.get(key)) == value:
                names = fields
        for name in names:
            if name not in inputs:
                raise MissingField(f'field "{name}" is missing')

    def feed(self, rows: Sequence[Inputs]) -> dict[str, NDArray[Any]]:
        """The inputs of the graph."""
        how = self.serving["preprocess"]
        if how["kind"] == "none":
            types = {i["name"]: object if i["datatype"] == "BYTES" else np.float32 for i in self.serving["inputs"]}
            return {name: np.array([[row[name]] for row in rows], dtype=kind) for name, kind in types.items()}
        texts = [" ".join(row[field] for field in how["fields"]) for row in rows]
        if how["kind"] == "join":
            return {how["to"]: np.array([[text] for text in texts], dtype=object)}
        return {how["to"]: mean_vectors(texts, self.vectors, how["dimensions"])}

    def scores(self, rows: Iterable[Inputs]) -> NDArray[np.float32]:
        """The score of each row. Required fields are not looked at: see `ask`."""
        (score,) = self.session.run([self.serving["score"]], self.feed(list(rows)))
        return np.asarray(score, dtype=np.float32).reshape(-1)

    def ask(self, inputs: Inputs) -> float:
        """The score of one request, which may be refused."""
        self.check(inputs)
        return float(self.scores([inputs])[0])
