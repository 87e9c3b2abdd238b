"""A model in memory: an artifact's graph in onnxruntime, with what goes in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlconsole_local.artifact import BadArtifact, Column, Loaded
from mlconsole_local.preprocess import Inputs, check_required
from mlconsole_local.protocol import BadRequest, Request, finite, parse

if TYPE_CHECKING:
    import numpy as np

_DATATYPES = {
    "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(float16)": "FP16", "tensor(string)": "BYTES", "tensor(bool)": "BOOL",
    "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64",
}  # fmt: skip
_WIDE = 16


class ModelFailed(Exception):
    """The graph itself failed on a request that looked right."""


@dataclass(frozen=True)
class Prediction:
    """What a model says: `outputs` as the protocol wants them; of the first row the `score`, and `output` with each output's value."""

    outputs: tuple[Mapping[str, Any], ...]
    score: float | None = None
    output: Mapping[str, Any] = field(default_factory=dict)


class Model:
    """A graph that is ready to answer. Safe for several threads."""

    def __init__(self, loaded: Loaded, addresses: Mapping[str, tuple[str, int]]) -> None:
        """Load the graph; `addresses` names the connections (host, port) that a model may read from.

        Raises:
            BadArtifact: the graph can't be loaded, or is not what `serving.json` says.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(loaded.graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BadArtifact(f"onnxruntime can't load the graph: {_first_line(error)}") from error
        serving = loaded.serving
        graph_inputs = {entry.name: entry for entry in self._session.get_inputs()}
        graph_outputs = {entry.name: _DATATYPES.get(entry.type) for entry in self._session.get_outputs()}
        step = serving.preprocess
        columns = serving.inputs or tuple(Column(name, _DATATYPES.get(entry.type, "")) for name, entry in graph_inputs.items())
        fed = [step.to] if step.kind != "none" else [column.name for column in columns]
        if sorted(fed) != sorted(graph_inputs):
            raise BadArtifact(f"the graph takes {', '.join(graph_inputs)}, but would be given {', '.join(fed) or 'nothing'}")
        self.inputs = {column.name: column for column in columns}
        self.outputs = serving.outputs or tuple(Column(name, datatype) for name, datatype in graph_outputs.items() if datatype)
        for column in (*self.inputs.values(), *self.outputs):
            if column.datatype not in _DATATYPES.values():
                raise BadArtifact(f'"{column.name}" is of no type that can be served: {column.datatype or "not a tensor"}')
        for column in self.outputs:
            if column.name not in graph_outputs:
                raise BadArtifact(f'the graph has no output "{column.name}"; it has {", ".join(graph_outputs)}')
        self.score = serving.score or _likely_score(self.outputs)
        if serving.score and serving.score not in graph_outputs:
            raise BadArtifact(f'the graph has no output "{serving.score}", which serving.json calls the score')
        self.waits = step.kind == "redis_vectors"
        self._required = serving.required
        self._used = step.fields if step.kind != "none" else tuple(self.inputs)
        widths = {name: _width(entry.shape) for name, entry in graph_inputs.items()} if step.kind == "none" else {}
        self._feed = Inputs(step, self.inputs, widths, addresses)

    def parse(self, body: bytes) -> Request:
        """A request's body, checked against the declared inputs.

        Raises:
            BadRequest: it is not what this model takes.
        """
        request = parse(body, self.inputs)
        known = {column.name for column in self.outputs}
        for name in request.wanted:
            if name not in known:
                raise BadRequest(f'there is no output "{name[:64]}"; there is {", ".join(sorted(known))}')
        check_required(request, self._required, self._used)
        return request

    def predict(self, request: Request) -> Prediction:
        """Run the graph.

        Raises:
            BadRequest: an input that the graph can't take.
            NoConnection: something that the model reads from does not answer.
            ModelFailed: the graph failed.
        """
        feed = self._feed.feed(request)
        names = [column.name for column in self.outputs]
        if self.score and self.score not in names:
            names.append(self.score)
        try:
            values = dict(zip(names, self._session.run(names, feed), strict=True))
        except Exception as error:
            raise ModelFailed(_first_line(error)) from error
        outputs, first = [], {}
        for column in self.outputs:
            array = values[column.name]
            flat = finite(array.reshape(-1).tolist())
            if not request.wanted or column.name in request.wanted:
                outputs.append({"name": column.name, "datatype": column.datatype, "shape": list(array.shape), "data": flat})
            width = max(1, len(flat) // request.rows)
            first[column.name] = flat[0] if width == 1 and flat else flat[: min(width, _WIDE)]
        return Prediction(tuple(outputs), _score(values.get(self.score), request.rows), first)

    def ping(self) -> None:
        """Whether what the model reads from answers.

        Raises:
            NoConnection: it does not.
        """
        self._feed.ping()


def _width(shape: list[Any]) -> int:
    """Values per row that a graph's input takes; 0: it has no second axis."""
    if len(shape) < 2:
        return 0
    return shape[1] if isinstance(shape[1], int) and shape[1] > 0 else 1


def _likely_score(outputs: tuple[Column, ...]) -> str:
    floats = [column.name for column in outputs if column.datatype.startswith("FP")]
    return "score" if "score" in floats else next(iter(floats), "")


def _score(array: np.ndarray[Any, Any] | None, rows: int) -> float | None:
    """The first row's score; of several columns (a classifier's probabilities) the last."""
    if array is None or array.size == 0 or array.dtype.kind not in "fiub":
        return None
    value = finite([float(array.reshape(rows, -1)[0, -1])])[0]
    return None if value is None else float(value)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
