"""One key, one effect (draft-ietf-httpapi-idempotency-key-header). PostgreSQL guarantees it; Redis only saves time.

Missing key: 400. Same key, different request: 422. Same key while the first request is in progress: 409. Otherwise the
first answer is repeated byte by byte, with `Idempotent-Replayed: true`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from types import TracebackType
from typing import Self

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request

from shared_lib.billing.replies import Key, SavedReply
from shared_lib.contract.problems import MEDIA_TYPE
from shared_lib.contract.routes import Route
from shared_lib.domain.errors import Code, Refusal
from shared_lib.ids import new_id
from shared_lib.log import note
from shared_lib.replies import JSON, RefusedError, Reply, refuse
from shared_lib.runtime import Runtime
from shared_lib.store.keys import KEEP, LEASE, look_at_keys
from shared_lib.web.auth import Principal
from shared_lib.web.http import header_of

_QUOTED = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]*(?:\\["\\][\x20\x21\x23-\x5b\x5d-\x7e]*)*)"')
_ESCAPED = re.compile(r'\\(["\\])')
_BARE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_KEY_CHARS_MAX = 255


class Slot:
    """Holds the answer of one keyed request. `reply` is set when an earlier request with the key has been answered.

    Inside its block our mark stands in Redis, unless `reply` is set; an error in the block removes it.
    """

    def __init__(self, rt: Runtime, key: Key) -> None:
        self.key = key
        self.reply: Reply | None = None
        self._rt = rt
        self._address = "boxoffice:reply:" + hashlib.sha256("\0".join(key.address).encode()).hexdigest()
        self.marked = False

    async def __aenter__(self) -> Self:
        await self.check_cache()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            await self.release()

    async def check_cache(self) -> None:
        """Look for an earlier answer: in Redis, and in PostgreSQL when Redis only holds a mark. Without one, set our mark.

        Raises RefusedError: the key belongs to another request, or its request is in progress.
        """
        known = await self._rt.replays.claim(self._address, self._mark(), int(LEASE.total_seconds()))
        if known is None:
            self.marked = True
        elif saved := self._unsealed(known):
            self.reply = replayed(saved)
        else:
            await self._check_database()

    def _unsealed(self, known: bytes) -> SavedReply | None:
        """The reply we sealed for this key, or None for any other value. Raises KEY_REUSED when it answers another request."""
        value = self._rt.seals.opened(self._address, known)
        if value is None:
            return None
        saved = json.loads(value)
        if saved["fingerprint"] != self.key.fingerprint.hex():
            raise refuse(Code.KEY_REUSED, "This Idempotency-Key was used for a different request.")
        return SavedReply(saved["status"], base64.b64decode(saved["body"]), saved["location"])

    async def _check_database(self) -> None:
        """The value in Redis is no reply: a mark whose owner may have answered or died, or bytes that we never wrote."""
        match await self._rt.run(look_at_keys, self.key):
            case SavedReply() as saved:
                self.reply = await self.repeat(saved)
            case Refusal() as refusal:
                raise RefusedError(refusal)
            case _:
                pass  # no answer is stored: the door goes on, and its phase checks the key again

    def answer(self, saved: SavedReply) -> Reply:
        """The answer that PostgreSQL has just stored. Few requests are repeated, so it is not cached: our mark leads a
        repetition to PostgreSQL.
        """
        self.marked = False  # the mark expires
        return reply_of(saved)

    async def repeat(self, saved: SavedReply) -> Reply:
        """The stored answer of an earlier request. It is cached in Redis for later repetitions if we have a key to seal it."""
        self.marked = False
        if self._rt.seals:
            await self._rt.replays.keep(self._address, self._sealed(saved), int(KEEP.total_seconds()))
        return replayed(saved)

    def _sealed(self, saved: SavedReply) -> bytes:
        value = to_json(
            {
                "fingerprint": self.key.fingerprint.hex(),
                "status": saved.status,
                "body": base64.b64encode(saved.body).decode(),
                "location": saved.location,
            }
        )
        return self._rt.seals.sealed(self._address, value)

    async def release(self) -> None:
        """Remove our mark after a refusal or an error: the next request with the key may try."""
        if self.marked:
            await self._rt.replays.drop(self._address)

    def _mark(self) -> bytes:
        """A value unique to this request, so that it is never taken for another's mark."""
        return new_id("mark").encode()


def once(rt: Runtime, request: Request, principal: Principal, route: Route, command: BaseModel) -> Slot:
    """`async with once(...) as slot:` wraps everything a keyed request does. Raises RefusedError before the block when the key
    forbids it.
    """
    return Slot(rt, key_of(request, principal, route, command))


def key_of(request: Request, principal: Principal, route: Route, command: BaseModel) -> Key:
    """The key, scoped to customer and route, with the fingerprint of the validated request."""
    name = str(route)
    fingerprint = hashlib.sha256(f"{name}\n{command.model_dump_json()}".encode()).digest()
    return Key(principal.customer_id, name, _header(header_of(request, b"idempotency-key")), fingerprint)


def _header(value: str | None) -> str:
    """The key: a quoted string, as the draft requires, or bare, as many clients send it."""
    if value is None or not value.strip():
        raise refuse(
            Code.KEY_MISSING,
            "Send the header Idempotency-Key: a value of your own, such as a UUID, that you reuse when you retry.",
        )
    value = value.strip()
    quoted = _QUOTED.fullmatch(value)
    key = quoted.group(1) if quoted else value
    if quoted and "\\" in key:
        key = _ESCAPED.sub(r"\1", key)
    if not key or len(key) > _KEY_CHARS_MAX or not (quoted or _BARE.fullmatch(value)):
        raise refuse(
            Code.KEY_MALFORMED, f"An Idempotency-Key has 1 to {_KEY_CHARS_MAX} visible ASCII characters."
        )
    return key


def reply_of(saved: SavedReply) -> Reply:
    headers = {"Location": saved.location} if saved.location else {}
    media_type = MEDIA_TYPE if saved.status >= 400 else JSON
    return Reply(saved.status, saved.body, headers, media_type)


def replayed(saved: SavedReply) -> Reply:
    note(replayed=True)
    reply = reply_of(saved)
    reply.headers["Idempotent-Replayed"] = "true"
    return reply
