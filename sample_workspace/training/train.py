"""Train every version of both models and write their artifacts, metadata, word vectors and golden queries.

No figure in a `model.yaml` is typed in: each is measured here, by asking the written artifact itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import golden
import graphs
import make_events
import metadata
import numpy as np
import profile_fields
from artifacts import Artifact, Vectors, mean_vectors, words, write_vectors
from scipy.sparse import csr_array
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from make_events import Event
    from numpy.typing import NDArray
    from onnx import ModelProto

WORKSPACE = Path(__file__).resolve().parent.parent
SEED = 7
OPSET = 17
THRESHOLD = 0.5
CUTOFF = "2026-01-31"
# Words are runs of these letters and digits, for Python's re and ONNX's RE2 alike; \w would be ASCII in the latter.
TOKEN = "[a-zA-ZÀ-ɏ0-9]+"
ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "numpy", "scipy", "onnxruntime")
NEWS_FIELDS = {"title": "BYTES", "body": "BYTES", "language": "BYTES"}
DELAY_TEXTS = ("carrier", "region")
DELAY_NUMBERS = ("distance_km", "weekday", "port_congestion", "weather_index", "supplier_on_time_rate")
DELAY_FIELDS = {**dict.fromkeys(DELAY_TEXTS, "BYTES"), **dict.fromkeys(DELAY_NUMBERS, "FP32")}


@dataclass(frozen=True)
class Family:
    """What the versions of one model have in common."""

    name: str
    owner: str
    fields: dict[str, str]
    slice_key: str
    slice_values: tuple[str, ...]
    train_file: str
    evaluation_file: str


RELEVANCE = Family("relevance", "risk-models", NEWS_FIELDS, "language", ("en", "de", "pl"), "train.jsonl", "evaluation.jsonl")
DELAY_RISK = Family(
    "delay-risk",
    "logistics-models",
    DELAY_FIELDS,
    "region",
    ("EU", "US", "APAC"),
    "train-delay-risk.jsonl",
    "evaluation-delay-risk.jsonl",
)


@dataclass
class Version:
    """One version, ready to be written. `damage` is done to the graph after everything has been measured."""

    family: Family
    version: str
    description: str
    parameters: dict[str, Any]
    graph: ModelProto
    expected: NDArray[np.float64]
    preprocess: dict[str, Any]
    cutoff: str = CUTOFF
    preprocessing: str = "artifact"
    required: dict[str, list[str]] = field(default_factory=dict)
    extra_fields: dict[str, str] = field(default_factory=dict)
    damage: Callable[[ModelProto], None] | None = None


def ascii_lower(text: str) -> str:
    """Lower A to Z and leave Ü and Ł alone: that is all that ONNX's StringNormalizer does under the locale C."""
    return text.translate(ASCII_LOWER)


def texts_of(events: Sequence[Event]) -> list[str]:
    """Title and body, joined as the artifact's preprocessing joins them."""
    return [f"{e['inputs']['title']} {e['inputs']['body']}" for e in events]


def until(events: Sequence[Event], cutoff: str) -> list[Event]:
    """The events up to and including the cut-off day."""
    return [e for e in events if e["time"][:10] <= cutoff]


def labels_of(events: Sequence[Event]) -> NDArray[np.int64]:
    return np.array([e["label"] for e in events], dtype=np.int64)


def logistic(c: float, columns: Literal["many", "few"] = "many") -> LogisticRegression:
    """A logistic regression by a second-order solver, which comes so near to the only optimum that it does not matter on which
    processor it was trained (the default solver stops up to 2e-6 away from it).
    """
    solver, tolerance = {"many": ("newton-cg", 1e-10), "few": ("newton-cholesky", 1e-7)}[columns]
    return LogisticRegression(C=c, solver=solver, tol=tolerance, max_iter=1000)


# relevance


def text_model(
    train: Sequence[Event], evaluation: Sequence[Event], grams: int, min_df: int, c: float, dimensions: int = 0
) -> tuple[ModelProto, NDArray[np.float64], dict[str, Any]]:
    """tf-idf, with `dimensions` an embedding of it, and a logistic regression: graph, its scores wanted, parameters."""
    vectorizer = TfidfVectorizer(lowercase=False, token_pattern=TOKEN, ngram_range=(1, grams), min_df=min_df)
    features = vectorizer.fit_transform([ascii_lower(text) for text in texts_of(train)])
    labels = labels_of(train)
    steps: list[Any] = [vectorizer]
    parameters: dict[str, Any] = {"features": "tf-idf", "ngrams": [1, grams], "min_df": min_df}
    parameters |= {"vocabulary": len(vectorizer.vocabulary_)}
    if dimensions:
        steps.append(embedding(features, labels, dimensions, c))
        features = steps[-1].transform(features)
        parameters["embedding_dimensions"] = dimensions
    steps.append(logistic(c).fit(features, labels))
    pipeline = Pipeline([(type(step).__name__, step) for step in steps])
    expected = pipeline.predict_proba([ascii_lower(text) for text in texts_of(evaluation)])[:, 1]
    vectorizer.lowercase = True  # for the conversion: the graph lowers, where the training lowered beforehand
    graph = to_onnx(
        pipeline,
        initial_types=[("text", StringTensorType([None, 1]))],
        options={id(pipeline): {"zipmap": False}},
        target_opset=OPSET,
    )
    graphs.plain_locale(graph)
    parameters |= {"classifier": "logistic regression", "C": c, "seed": SEED}
    return graphs.scorer(graph), expected, parameters


def embedding(features: csr_array, labels: NDArray[np.int64], dimensions: int, c: float) -> TruncatedSVD:
    """An embedding learned from the labels: each dimension is what a random half of the events says about a word.

    TruncatedSVD only carries the matrix, because skl2onnx makes one MatMul of it.
    """
    rng = np.random.default_rng(SEED)
    halves = [rng.random(len(labels)) < 0.5 for _ in range(dimensions)]
    carrier = TruncatedSVD(dimensions)
    carrier.components_ = np.vstack([logistic(c).fit(features[half], labels[half]).coef_ for half in halves])
    return carrier


def word_vectors(train: Sequence[Event], dimensions: int, min_df: int, window: int, rarity: float) -> Vectors:
    """Word vectors from which words stand near which: positive pointwise mutual information, reduced by an SVD.

    The vectors of frequent words are made short (by `rarity`), because the server can only take a plain mean.
    """
    texts = [words(text) for text in texts_of(train)]
    index: dict[str, int] = CountVectorizer(analyzer=list, min_df=min_df).fit(texts).vocabulary_
    known = [[index[word] for word in text if word in index] for text in texts]
    pairs = [(w, other) for ids in known for place, w in enumerate(ids) for other in ids[place + 1 : place + 1 + window]]
    rows, columns = np.array(pairs).T
    counts = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(index), len(index)))
    counts = (counts + counts.T).tocoo()
    totals = np.asarray(counts.sum(axis=0)).ravel()
    row, column = counts.coords
    association = np.log(counts.data * totals.sum() / (totals[row] * totals[column]))
    matrix = csr_array((np.maximum(association, 0), (row, column)), shape=counts.shape)
    vectors = TruncatedSVD(dimensions, algorithm="arpack", random_state=SEED).fit_transform(matrix)
    frequencies = np.bincount([place for ids in known for place in ids]) / sum(map(len, texts))
    vectors *= (rarity / (rarity + frequencies))[:, np.newaxis]
    return {word: vectors[place].astype(np.float32) for word, place in index.items()}


def vector_model(train: Sequence[Event], evaluation: Sequence[Event], vectors: Vectors, c: float) -> tuple[ModelProto, NDArray[np.float64]]:
    """A logistic regression on the mean of an event's word vectors."""
    size = len(next(iter(vectors.values())))
    classifier = make_pipeline(StandardScaler(), logistic(c, "few"))
    classifier.fit(mean_vectors(texts_of(train), vectors, size), labels_of(train))
    expected = classifier.predict_proba(mean_vectors(texts_of(evaluation), vectors, size))[:, 1]
    graph = to_onnx(
        classifier,
        initial_types=[("embedding", FloatTensorType([None, size]))],
        options={id(classifier): {"zipmap": False}},
        target_opset=OPSET,
    )
    return graphs.scorer(graph), expected


def relevance(train: Sequence[Event], evaluation: Sequence[Event]) -> tuple[list[Version], Vectors]:
    """The versions of `relevance`, and the word vectors that version 2 reads from Redis."""
    join = {"kind": "join", "fields": ["title", "body"], "to": "text"}
    old, older = "2025-12-31", "2025-10-31"
    how = {"dimensions": 32, "min_df": 3, "window": 25, "rarity": 1e-4}
    vectors = word_vectors(until(train, older), **how)
    graph, expected = vector_model(until(train, older), evaluation, vectors, c=1.0)
    versions = [
        Version(
            RELEVANCE,
            "2",
            "Legacy: logistic regression on the mean of word vectors, which its server reads from Redis",
            {"features": "mean of word vectors", **how, "words": len(vectors)}
            | {"classifier": "logistic regression", "C": 1.0, "seed": SEED},
            graph,
            expected,
            {
                "kind": "redis_vectors",
                "fields": ["title", "body"],
                "connection": "redis-embeddings",
                "prefix": "vec:",
                "dimensions": how["dimensions"],
                "to": "embedding",
            },
            cutoff=older,
            preprocessing="server: word vectors in redis-embeddings",
        )
    ]

    def add(version: str, description: str, grams: int, min_df: int, c: float, **more: Any) -> None:
        cutoff = more.get("cutoff", CUTOFF)
        dimensions = more.pop("dimensions", 0)
        graph, expected, parameters = text_model(until(train, cutoff), evaluation, grams, min_df, c, dimensions)
        if more.pop("slow", False):
            graphs.slow_down(graph)
            parameters |= {"interaction_rounds": graphs.ROUNDS, "interaction_size": graphs.MATRIX}
        if dimensions:
            shape = (parameters["vocabulary"], dimensions)
            more["damage"] = lambda graph: graphs.lose_embeddings(graph, shape)
        versions.append(Version(RELEVANCE, version, description, parameters, graph, expected, join, **more))

    add("3", "Single words of title and body, the words that are frequent", 1, 20, 1.0, cutoff=old)
    add("4", "Words and pairs of words, many more of them", 2, 4, 3.0)
    add("5", "Words and pairs, by way of an embedding of their own", 2, 5, 3.0, dimensions=8)
    german = {"*": ["title", "body"], "language=de": ["title_de", "body"]}
    more_fields = {"title_de": "BYTES"}
    add("6", "As v4, prepared for German titles of their own", 2, 4, 2.5, required=german, extra_fields=more_fields)
    add("7", "As v4, with an interaction block", 2, 4, 3.0, slow=True)
    return versions, vectors


# delay-risk


def delay_rows(events: Sequence[Event]) -> NDArray[np.object_]:
    """The columns in the order of DELAY_FIELDS; numbers as the float32 that the graph gets."""
    columns = [[e["inputs"][name] for e in events] for name in DELAY_TEXTS]
    columns += [[float(np.float32(e["inputs"][name])) for e in events] for name in DELAY_NUMBERS]
    return np.array(columns, dtype=object).T


def delay_risk(train: Sequence[Event], evaluation: Sequence[Event]) -> list[Version]:
    """The versions of `delay-risk`."""
    types: list[Any] = [(name, StringTensorType([None, 1])) for name in DELAY_TEXTS]
    types += [(name, FloatTensorType([None, 1])) for name in DELAY_NUMBERS]
    forest = {"n_estimators": 30, "max_depth": 9, "min_samples_leaf": 5, "max_features": 0.6}
    boosting = {"n_estimators": 200, "max_depth": 3, "learning_rate": 0.05}
    candidates: list[tuple[str, str, str, dict[str, Any], Any]] = [
        ("1", "2025-10-31", "Logistic regression", {"classifier": "logistic regression", "C": 1.0}, logistic(1.0, "few")),
        (
            "2",
            "2025-12-31",
            "A small random forest, which sees that congestion matters on long ways",
            {"classifier": "random forest", **forest},
            RandomForestClassifier(**forest, random_state=SEED),
        ),
        (
            "3",
            CUTOFF,
            "Gradient boosting",
            {"classifier": "gradient boosting", **boosting},
            GradientBoostingClassifier(**boosting, random_state=SEED),
        ),
    ]
    versions = []
    for version, cutoff, description, parameters, classifier in candidates:
        texts, numbers = range(len(DELAY_TEXTS)), range(len(DELAY_TEXTS), len(DELAY_FIELDS))
        columns = ColumnTransformer(
            [
                ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(texts)),
                ("numbers", StandardScaler() if version == "1" else "passthrough", list(numbers)),
            ]
        )
        pipeline = make_pipeline(columns, classifier)
        rows = until(train, cutoff)
        pipeline.fit(delay_rows(rows), labels_of(rows))
        expected = pipeline.predict_proba(delay_rows(evaluation))[:, 1]
        graph = to_onnx(pipeline, initial_types=types, options={id(pipeline): {"zipmap": False}}, target_opset=OPSET)
        parameters |= {"seed": SEED}
        versions.append(
            Version(
                DELAY_RISK,
                version,
                description,
                parameters,
                graphs.scorer(graph),
                expected,
                {"kind": "none"},
                cutoff=cutoff,
            )
        )
    return versions


# what is written


def serving(version: Version) -> dict[str, Any]:
    """The artifact's serving.json."""
    fields = version.family.fields | version.extra_fields
    everywhere = ["title", "body"] if version.family is RELEVANCE else list(version.family.fields)
    return {
        "schema": 1,
        "inputs": [{"name": name, "datatype": datatype} for name, datatype in fields.items()],
        "outputs": [{"name": "score", "datatype": "FP32"}],
        "required": version.required or {"*": everywhere},
        "preprocess": version.preprocess,
        "score": "score",
    }


def measure(family: Family, scores: NDArray[np.float32], evaluation: Sequence[Event], digest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics and the baseline profile on the evaluation set."""
    labels, over = labels_of(evaluation), scores >= THRESHOLD
    slices = np.array([e["inputs"][family.slice_key] for e in evaluation])
    values = {"f1": f1_score(labels, over), "brier": brier_score_loss(labels, scores)}
    by_slice = {}
    for value in family.slice_values:
        here = slices == value
        values[f"f1/{value}"] = f1_score(labels[here], over[here])
        by_slice[value] = {"n": int(here.sum()), "over_threshold": rounded(over[here].mean())}
    edges = np.linspace(0, 1, 21)
    inputs = {json.dumps(e["inputs"], sort_keys=True): score for e, score in zip(evaluation, scores, strict=True)}
    baseline = {
        "n": len(evaluation),
        "score": {
            "edges": [round(float(edge), 2) for edge in edges],
            "counts": [int(n) for n in np.histogram(scores, edges)[0]],
        },
        "distinct_outputs": rounded(len({round(float(s), 6) for s in inputs.values()}) / len(inputs)),
        "over_threshold": rounded(over.mean()),
        "by_slice": by_slice,
        "fields": profile_fields.profile([e["inputs"] for e in evaluation], list(family.fields), [family.slice_key]),
    }
    return {"evaluation_set": digest, "values": {name: rounded(value) for name, value in values.items()}}, baseline


def rounded(value: float) -> float:
    return round(float(value), 4)


def write_version(version: Version, root: Path, evaluation: Sequence[Event], digest: str, vectors: Vectors) -> None:
    """Write artifact and metadata, having made sure that the graph says what scikit-learn says."""
    family = version.family
    folder = root / "models" / family.name / f"v{version.version}"
    artifact = folder / "artifact"
    artifact.mkdir(parents=True, exist_ok=True)
    (artifact / "serving.json").write_text(json.dumps(serving(version), indent=2, ensure_ascii=False) + "\n", "utf-8")
    graphs.save(version.graph, str(artifact / "model.onnx"))
    scores = Artifact(artifact, vectors).scores(e["inputs"] for e in evaluation)
    off = float(np.abs(scores - version.expected).max())
    if off > 1e-5:
        raise RuntimeError(f"{family.name} v{version.version}: the graph is {off:.1e} off scikit-learn's score")
    metrics, baseline = measure(family, scores, evaluation, digest)
    if version.damage:
        version.damage(version.graph)
        graphs.save(version.graph, str(artifact / "model.onnx"))
    document = {
        "model": family.name,
        "version": version.version,
        "artifact": "artifact",
        "owner": family.owner,
        "description": version.description,
        "parameters": version.parameters,
        "data": {"reference": f"events/{family.train_file}", "cutoff": version.cutoff},
        "metrics": metrics,
        "dependencies": [f"{package}=={installed(package)}" for package in PACKAGES],
        "preprocessing": version.preprocessing,
        "signature": {
            "inputs": [{"name": name, "datatype": datatype} for name, datatype in family.fields.items()],
            "outputs": [{"name": "score", "datatype": "FP32"}],
            "score": "score",
            "threshold": THRESHOLD,
            "slices": [{"key": family.slice_key, "path": f"/{family.slice_key}", "values": list(family.slice_values)}],
        },
        "baseline": baseline,
    }
    metadata.write(folder / "model.yaml", document)
    print(f"{family.name:<10} v{version.version}  {metrics['values']}  off scikit-learn by {off:.0e}")


def run(events: Path, out: Path) -> None:
    """Train on the event files and write everything below `out`."""

    def load(family: Family) -> tuple[list[Event], list[Event], str]:
        evaluation = events / family.evaluation_file
        digest = f"sha256:{hashlib.sha256(evaluation.read_bytes()).hexdigest()}"
        return make_events.read(events / family.train_file), make_events.read(evaluation), digest

    train, evaluation, digest = load(RELEVANCE)
    versions, vectors = relevance(train, evaluation)
    write_vectors(out / "embeddings" / "vectors.tsv", vectors)
    for version in versions:
        write_version(version, out, evaluation, digest, vectors)
    train, evaluation, digest = load(DELAY_RISK)
    for version in delay_risk(train, evaluation):
        write_version(version, out, evaluation, digest, {})
    golden.write(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=Path, default=WORKSPACE / "events", help="folder with the event files")
    parser.add_argument("--out", type=Path, default=WORKSPACE, help="workspace to write into")
    options = parser.parse_args()
    run(options.events, options.out)


if __name__ == "__main__":
    main()
