"""A seal on what we keep where others can write: an HMAC over the value and the place it stands at."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

_PURPOSE: Final = b"boxoffice reply seal v1"
_SEAL_BYTES: Final = hashlib.sha256().digest_size


class Seals:
    """Seals with the first secret, believes the seal of any: the previous one stays until its replies are gone (72 h)."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [hmac.digest(secret.encode(), _PURPOSE, "sha256") for secret in secrets]

    def __bool__(self) -> bool:
        """False without a secret: nothing can be sealed, and no seal is believed."""
        return bool(self._keys)

    def sealed(self, place: str, value: bytes) -> bytes:
        return _seal(self._keys[0], place, value) + value

    def opened(self, place: str, sealed: bytes) -> bytes | None:
        """The value, or None unless we sealed exactly these bytes for exactly this place."""
        seal, value = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        # Every key is tried, and in constant time: how long it takes tells nothing.
        good = [hmac.compare_digest(seal, _seal(key, place, value)) for key in self._keys]
        return value if any(good) else None


def _seal(key: bytes, place: str, value: bytes) -> bytes:
    return hmac.digest(key, place.encode() + b"\0" + value, "sha256")
