"""What lies in moto's S3, read and written beside its HTTP side, so that played faults never hit what SageMaker itself does."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit


class Store:
    """S3 of one account."""

    def __init__(self, account: str) -> None:
        self._account = account

    def read(self, url: str) -> bytes | None:
        """What lies at s3://bucket/key; None: nothing."""
        bucket, key = _parts(url)
        try:
            found = self._backend().get_object(bucket, key)
        except Exception:  # noqa: BLE001 - moto raises its own: no such bucket
            return None
        return None if found is None else bytes(found.value)

    def has(self, url: str) -> bool:
        """Whether something lies there: an object, or objects below a prefix that ends with a slash."""
        bucket, key = _parts(url)
        try:
            backend = self._backend()
            if not key or key.endswith("/"):
                return any(name.startswith(key) for name in backend.get_bucket(bucket).keys)
            return backend.get_object(bucket, key) is not None
        except Exception:  # noqa: BLE001 - moto raises its own: no such bucket
            return False

    def write(self, bucket: str, key: str, body: bytes) -> bool:
        """Put an object; whether there is such a bucket."""
        try:
            self._backend().put_object(bucket, key, body)
        except Exception:  # noqa: BLE001 - moto raises its own: no such bucket
            return False
        return True

    def delete(self, bucket: str, key: str) -> None:
        """Take an object away, if it is there."""
        with suppress(Exception):  # moto raises its own: no such bucket
            self._backend().delete_object(bucket, key)

    def _backend(self) -> Any:
        from moto.s3.models import s3_backends

        return s3_backends[self._account]["aws"]


def _parts(url: str) -> tuple[str, str]:
    found = urlsplit(url)
    return found.netloc, found.path.lstrip("/")
