"""From a request's columns to the graph's inputs: what the artifact says must happen before the model itself."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlconsole.plugin.resp import Redis, RedisError
from mlconsole_local.artifact import Column, Preprocess
from mlconsole_local.protocol import FLOATS, BadRequest, Request

if TYPE_CHECKING:
    import numpy as np

_WORD = re.compile(r"[^\W\d_]+")
NUMPY = {
    "BOOL": "bool", "BYTES": "object", "FP16": "float16", "FP32": "float32", "FP64": "float64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
}  # fmt: skip


_PING_SECONDS = 0.4
"""Shorter than whoever asks how a server is would wait: so a connection that hangs is told as such, and not as a server that does."""


class NoConnection(Exception):
    """Something that the model reads from does not answer."""


def check_required(request: Request, required: Mapping[str, tuple[str, ...]] | None, used: Sequence[str]) -> None:
    """Whether each row has what it must have; `used` must be there where the artifact says nothing.

    Raises:
        BadRequest: `field "title_de" is missing`.
    """
    if required is None:
        _must_have(request, used)
        return
    special = [key.partition("=") for key in required if "=" in key]
    everywhere = True
    for name, _, value in special:
        column = request.columns.get(name, ())
        if value in column:
            _must_have(request, required[f"{name}={value}"])
            everywhere = any(other != value for other in column)
    if everywhere:
        _must_have(request, required.get("*", ()))


def _must_have(request: Request, names: Sequence[str]) -> None:
    for name in names:
        if name not in request.columns:
            raise BadRequest(f'field "{name}" is missing')


class Inputs:
    """Makes the graph's inputs. Safe for several threads: each has its own connection."""

    def __init__(
        self, step: Preprocess, columns: Mapping[str, Column], widths: Mapping[str, int], addresses: Mapping[str, tuple[str, int]]
    ) -> None:
        """`widths`: the graph's inputs of kind `none` with more than one value per row; 0 for those without a second axis."""
        self._step = step
        self._columns = columns
        self._widths = widths
        self._address = addresses.get(step.connection)
        self._local = threading.local()

    def feed(self, request: Request) -> dict[str, np.ndarray[Any, Any]]:
        """The graph's inputs for a request.

        Raises:
            BadRequest: a column of another width than the graph takes.
            NoConnection: the word vectors can't be read.
        """
        import numpy as np

        if self._step.kind == "none":
            return {name: self._column(request, column) for name, column in self._columns.items()}
        joined = [" ".join(row) for row in zip(*(self._texts(request, name) for name in self._step.fields), strict=True)]
        if self._step.kind == "join":
            return {self._step.to: np.array(joined, dtype=object).reshape(-1, 1)}
        return {self._step.to: self._vectors(joined)}

    def ping(self) -> None:
        """Whether what the model reads from answers.

        Raises:
            NoConnection: it does not.
        """
        if self._step.kind == "redis_vectors" and self._address is not None:
            client = Redis(*self._address, seconds=_PING_SECONDS)
            try:
                client.call(b"PING")
            except RedisError as error:
                raise NoConnection(f'connection "{self._step.connection}" does not answer: {error}') from error
            finally:
                client.close()
        elif self._step.kind == "redis_vectors":
            self._call(b"PING")

    def _texts(self, request: Request, name: str) -> Sequence[str]:
        found = request.columns.get(name)
        return [""] * request.rows if found is None else [str(value) for value in found]

    def _column(self, request: Request, column: Column) -> np.ndarray[Any, Any]:
        import numpy as np

        width = self._widths.get(column.name, 1)
        values = request.columns.get(column.name)
        if values is None:
            if column.datatype in FLOATS:
                values = [float("nan")] * (request.rows * max(1, width))
            elif column.datatype == "BYTES":
                values = [""] * (request.rows * max(1, width))
            else:
                raise BadRequest(f'field "{column.name}" is missing')
        elif request.widths.get(column.name, 1) != max(1, width):
            raise BadRequest(f'input "{column.name}" has {request.widths.get(column.name, 1)} values in a row, not {max(1, width)}')
        try:
            made = np.array(values, dtype=NUMPY[column.datatype])
        except (OverflowError, ValueError) as error:
            raise BadRequest(f'field "{column.name}" does not fit {column.datatype}') from error
        return made if width == 0 else made.reshape(-1, width)

    def _vectors(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        import numpy as np

        rows = [_WORD.findall(text.lower()) for text in texts]
        words = sorted({word for row in rows for word in row})
        found: dict[str, np.ndarray[Any, Any]] = {}
        if words:
            values = self._call(b"MGET", *(f"{self._step.prefix}{word}".encode() for word in words))
            size = 4 * self._step.dimensions
            for word, value in zip(words, values if isinstance(values, list) else [], strict=False):
                if value is not None and len(value) == size:
                    found[word] = np.frombuffer(value, dtype="<f4")
        result = np.zeros((len(rows), self._step.dimensions), dtype=np.float32)
        for index, row in enumerate(rows):
            known = [found[word] for word in row if word in found]
            if known:
                result[index] = np.mean(known, axis=0)
        return result

    def _call(self, *command: bytes) -> Any:
        name = self._step.connection
        if self._address is None:
            raise NoConnection(f'connection "{name}" was not given')
        client = getattr(self._local, "redis", None)
        if client is None:
            client = self._local.redis = Redis(*self._address)
        try:
            return client.call(*command)
        except RedisError:
            # One idle connection may have been closed by a Redis that was restarted: a fresh one decides.
            try:
                return client.call(*command)
            except RedisError as error:
                raise NoConnection(f'connection "{name}" does not answer: {error}') from error
