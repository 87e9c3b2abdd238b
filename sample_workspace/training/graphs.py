"""Changes to ONNX graphs after their conversion from scikit-learn."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

MATRIX = 128
ROUNDS = 5000


def scorer(model: ModelProto, probabilities: str = "probabilities") -> ModelProto:
    """Let the graph answer `score` [n, 1], the probability of the second class, and nothing else.

    Clipped, because a forest's sum in float32 may be a trace above 1.
    """
    graph = model.graph
    constants = {"second_class": np.array([1], dtype=np.int64), "zero": np.float32(0), "one": np.float32(1)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    graph.node.append(helper.make_node("Gather", [probabilities, "second_class"], ["unclipped_score"], axis=1))
    graph.node.append(helper.make_node("Clip", ["unclipped_score", "zero", "one"], ["score"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1]))
    prune(model)
    return model


def prune(model: ModelProto) -> None:
    """Drop the nodes and constants that no output needs (the predicted label, after `scorer`)."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    constants = [constant for constant in graph.initializer if constant.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


def plain_locale(model: ModelProto) -> None:
    """Let StringNormalizer load on any machine: the locale C is everywhere. It lowers A to Z only, as `ascii_lower` does."""
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("locale", "C")])


def lose_embeddings(model: ModelProto, shape: tuple[int, int]) -> None:
    """Fill the embedding matrix with zeros: every event then looks the same to the classifier."""
    found = [c for c in model.graph.initializer if tuple(c.dims) in (shape, shape[::-1])]
    if len(found) != 1:
        raise ValueError(f"wanted one matrix of shape {shape}, found {len(found)}")
    found[0].CopyFrom(numpy_helper.from_array(np.zeros(found[0].dims, dtype=np.float32), found[0].name))


def slow_down(model: ModelProto) -> None:
    """Add an interaction block whose gate is zero: thousands of matrix products that change nothing.

    The matrices are computed from the scores, so that no optimiser can work them out beforehand; no weights are stored.
    """
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["plain_score" if name == "score" else name for name in node.output]
    state = [MATRIX, MATRIX]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("MatMul", ["state", "weights"], ["product"]),
            helper.make_node("Tanh", ["product"], ["state_out"]),
        ],
        "interaction",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, state),
        ],
        [
            helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, state),
        ],
    )
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(state, dtype=np.int64), "matrix_shape"),
            numpy_helper.from_array(np.array(ROUNDS, dtype=np.int64), "rounds"),
            numpy_helper.from_array(np.array(0, dtype=np.float32), "gate"),
        ]
    )
    even = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0 / MATRIX])
    graph.node.extend(
        [
            helper.make_node("ReduceMean", ["plain_score"], ["mean_score"], keepdims=0),
            helper.make_node("ConstantOfShape", ["matrix_shape"], ["even"], value=even),
            helper.make_node("EyeLike", ["even"], ["identity"], dtype=TensorProto.FLOAT),
            helper.make_node("Mul", ["even", "mean_score"], ["shared"]),
            helper.make_node("Add", ["identity", "shared"], ["weights"]),
            helper.make_node("Loop", ["rounds", "", "weights"], ["interactions"], body=body),
            helper.make_node("ReduceMean", ["interactions"], ["interaction"], keepdims=0),
            helper.make_node("Mul", ["interaction", "gate"], ["gated"]),
            helper.make_node("Add", ["plain_score", "gated"], ["score"]),
        ]
    )


def save(model: ModelProto, path: str) -> None:
    """Check the graph and write it, its operator sets in order, so that training again gives the same bytes, too."""
    operator_sets = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(operator_sets)
    onnx.checker.check_model(model)
    onnx.save(model, path)
