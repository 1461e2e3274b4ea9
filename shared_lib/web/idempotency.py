"""One key, one effect (draft-ietf-httpapi-idempotency-key-header). PostgreSQL keeps the promise; Redis saves time.

Missing key: 400. Same key, other request: 422. Same key while the first is worked on: 409. Otherwise the first
answer again, byte by byte, with `Idempotent-Replayed: true`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request

from shared_lib.contract.problems import MEDIA_TYPE
from shared_lib.contract.routes import Route
from shared_lib.domain.errors import Code, Refusal
from shared_lib.ids import new_id
from shared_lib.log import note
from shared_lib.runtime import Runtime
from shared_lib.store.keys import KEEP, LEASE, Key, SavedReply, look_at_keys
from shared_lib.web.auth import Principal
from shared_lib.web.http import RefusedError, Reply, header_of, refuse

_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPED = re.compile(r'\\(["\\])')
_BARE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_KEY_CHARS_MAX = 255


class Slot:
    """The place of one request's answer. `reply` is set when another request with the key was answered already."""

    def __init__(self, rt: Runtime, key: Key) -> None:
        self.key = key
        self.reply: Reply | None = None
        self._rt = rt
        self._address = "boxoffice:reply:" + hashlib.sha256("\0".join(key.address).encode()).hexdigest()
        self.marked = False

    async def look(self) -> None:
        """Ask Redis: it may know the answer, or that there is something to know."""
        known = await self._rt.replays.claim(self._address, self._mark(), int(LEASE.total_seconds()))
        if known is None:
            self.marked = True
        elif saved := self._unsealed(known):
            self.reply = replayed(saved)
        else:
            await self._ask_the_database()

    def _unsealed(self, known: bytes) -> SavedReply | None:
        """The reply that we sealed for this request, if it is one. Raises KEY_REUSED when it is that of another."""
        value = self._rt.seals.opened(self._address, known)
        if value is None:
            return None
        saved = json.loads(value)
        if saved["fingerprint"] != self.key.fingerprint.hex():
            raise refuse(Code.KEY_REUSED, "This Idempotency-Key was used for a different request.")
        return SavedReply(saved["status"], base64.b64decode(saved["body"]), saved["location"])

    async def _ask_the_database(self) -> None:
        """Any other value is a hint: a mark whose owner may have answered or died, or something we never wrote."""
        match await self._rt.run(look_at_keys, self.key):
            case SavedReply() as saved:
                self.reply = await self.repeat(saved)
            case Refusal() as refusal:
                raise RefusedError(refusal)
            case _:
                pass  # PostgreSQL decides, as it does anyway

    def answer(self, saved: SavedReply) -> Reply:
        """Answer with what PostgreSQL has just kept. Few are asked for it again, so Redis is not told: our mark
        leads those to PostgreSQL.
        """
        self.marked = False  # it goes by itself
        return reply_of(saved)

    async def repeat(self, saved: SavedReply) -> Reply:
        """Answer with what PostgreSQL had kept for an earlier request, and let Redis do it from now on if we can seal it."""
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

    async def leave(self) -> None:
        """Nothing was decided, or it was refused: the next request with the key may try."""
        if self.marked:
            await self._rt.replays.drop(self._address)

    def _mark(self) -> bytes:
        """Ours and nobody else's, so that we know it again."""
        return to_json({"fingerprint": self.key.fingerprint.hex(), "owner": new_id("req")})


@asynccontextmanager
async def once(
    rt: Runtime, request: Request, principal: Principal, route: Route, command: BaseModel
) -> AsyncIterator[Slot]:
    """Around everything a keyed request does."""
    slot = Slot(rt, key_of(request, principal, route, command))
    await slot.look()
    try:
        yield slot
    except BaseException:
        await slot.leave()
        raise


def key_of(request: Request, principal: Principal, route: Route, command: BaseModel) -> Key:
    """The key in its space, with the fingerprint of the validated request."""
    fingerprint = hashlib.sha256(f"{route}\n{command.model_dump_json()}".encode()).digest()
    return Key(
        principal.customer_id, str(route), _header(header_of(request, b"idempotency-key")), fingerprint
    )


def _header(value: str | None) -> str:
    """The key: a quoted string, as the draft wants it, or bare, as many clients send it."""
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
    media_type = MEDIA_TYPE if saved.status >= 400 else "application/json"
    return Reply(saved.status, saved.body, headers, media_type)


def replayed(saved: SavedReply) -> Reply:
    note(replayed=True)
    reply = reply_of(saved)
    reply.headers["Idempotent-Replayed"] = "true"
    return reply
