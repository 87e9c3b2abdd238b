"""Makes the tiny graphs beside it. Run it in an environment with `onnx` (not one of ours): `python make_models.py`.

`double.onnx`, `triple.onnx`: score = factor · x. `words/`: a text's score out of a list. `vectors/`: the sum of a mean word vector.
`slow.onnx`: score = x, after some hundred milliseconds of matrices.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent


def save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict) -> None:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [numpy_helper.from_array(value, name) for name, value in constants.items()])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())


def value(name: str, kind: int, width: int = 1) -> object:
    return helper.make_tensor_value_info(name, kind, [None, width])


x, score = value("x", TensorProto.FLOAT), value("score", TensorProto.FLOAT)
for name, factor in (("double", 2.0), ("triple", 3.0)):
    save(
        HERE / f"{name}.onnx",
        [helper.make_node("Mul", ["x", "factor"], ["score"])],
        [x],
        [score],
        {"factor": np.array([factor], np.float32)},
    )

encoder = helper.make_node(
    "LabelEncoder", ["text"], ["score"], domain="ai.onnx.ml",
    keys_strings=["flood port", "all quiet"], values_floats=[0.9, 0.1], default_float=0.5,
)  # fmt: skip
save(HERE / "words" / "model.onnx", [encoder], [value("text", TensorProto.STRING)], [score], {})
(HERE / "words" / "serving.json").write_text(
    json.dumps(
        {
            "schema": 1,
            "inputs": [{"name": name, "datatype": "BYTES"} for name in ("title", "title_de", "body", "language")],
            "outputs": [{"name": "score", "datatype": "FP32"}],
            "required": {"*": ["title", "body"], "language=de": ["title_de", "body"]},
            "preprocess": {"kind": "join", "fields": ["title", "body"], "to": "text"},
            "score": "score",
        },
        indent=1,
    )
)

total = helper.make_node("ReduceSum", ["vector", "axes"], ["score"], keepdims=1)
save(HERE / "vectors" / "model.onnx", [total], [value("vector", TensorProto.FLOAT, 4)], [score], {"axes": np.array([1], np.int64)})
(HERE / "vectors" / "serving.json").write_text(
    json.dumps(
        {
            "schema": 1,
            "inputs": [{"name": "title", "datatype": "BYTES"}],
            "outputs": [{"name": "score", "datatype": "FP32"}],
            "preprocess": {
                "kind": "redis_vectors",
                "fields": ["title"],
                "to": "vector",
                "connection": "embeddings",
                "prefix": "w:",
                "dimensions": 4,
            },
            "score": "score",
        },
        indent=1,
    )
)

# A loop of matrix products that the optimiser can't fold, since it starts from the input.
matrix = helper.make_tensor_value_info("m", TensorProto.FLOAT, [256, 256])
body = helper.make_graph(
    [
        helper.make_node("MatMul", ["before", "rotate"], ["after"]),
        helper.make_node("Identity", ["go"], ["go_on"]),
    ],
    "body",
    [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("before", TensorProto.FLOAT, [256, 256]),
    ],
    [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), helper.make_tensor_value_info("after", TensorProto.FLOAT, [256, 256])],
)
save(
    HERE / "slow.onnx",
    [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "size"], ["m"]),
        helper.make_node("EyeLike", ["m"], ["rotate"]),
        helper.make_node("Loop", ["times", "", "m"], ["turned"], body=body),
        helper.make_node("ReduceMean", ["turned"], ["same"], keepdims=0),
        helper.make_node("Sub", ["same", "mean"], ["none"]),
        helper.make_node("Add", ["x", "none"], ["score"]),
    ],
    [x],
    [score],
    {"size": np.array([256, 256], np.int64), "times": np.array(3000, np.int64)},
)
