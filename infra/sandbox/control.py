"""The control surface: time, faults, scripts. It exists because this is a simulator, and needs no API key.

GET  POST /control/clock              {"advance_s": 3600} | {"now": "2027-01-31T00:00:00Z"}
GET  POST DELETE /control/faults      see engine/faults.py, Fault
POST /control/down                    {"down": true, "how": "drop" | "503"}
GET  POST /control/webhooks           {"mode": "duplicate" | "delay" | "hold" | "drop" | null, "types", "times"}
POST /control/webhooks/release        {"order": "reverse" | "arrival"}
POST /control/webhooks/redeliver      {"event": "evt_..."}
POST /control/endpoints               {"url": ..., "secret": "whsec_...", "face": "native"}
POST /control/methods/{id}/next       {"codes": ["insufficient_funds", null]}: null approves
POST /control/payments/{id}/succeed   money that arrives although the payment was closed
POST /control/payments/{id}/state     see StateBody: another amount captured, another state
POST /control/payments/{id}/twin      a second open payment with the same metadata
POST /control/refunds                 {"payment": "sp_...", "amount_minor": 100}: made in the dashboard
POST /control/methods/{id}/update     {"expires": "2040-01"}
POST /control/refunds/{id}/fail       {"reason": ...}
POST /control/refunds/{id}/succeed
GET  /control/kept/{id}               what a face keeps of a payment or refund: its receipt, with the customer
POST /control/reset
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox.engine import faults, methods, notices, oddities, payments, refunds
from infra.sandbox.engine.clock import SECOND_US, from_iso, iso
from infra.sandbox.engine.core import NATIVE, Sandbox
from infra.sandbox.engine.database import set_setting
from infra.sandbox.engine.due import run_due
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.engine.sender import WebhookSender
from infra.sandbox.faces.native.bodies import CurrencyCode
from infra.sandbox.faces.native.errors import refusal_answer
from infra.sandbox.faces.native.views import method_view, payment_view, refund_view


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClockBody(_Body):
    advance_s: Annotated[float, Field(ge=0)] | None = None
    now: str | None = None


class DownBody(_Body):
    down: bool = True
    how: Literal["drop", "503"] = "drop"


class RuleBody(_Body):
    mode: notices.Mode | None
    types: str = "*"
    times: Annotated[int, Field(ge=1)] | None = 1
    delay_ms: int = 1000

    def rule(self) -> notices.Rule | None:
        if self.mode is None:
            return None
        return notices.Rule(mode=self.mode, types=self.types, times=self.times, delay_ms=self.delay_ms)


class ReleaseBody(_Body):
    order: Literal["reverse", "arrival"] = "reverse"


class RedeliverBody(_Body):
    event: str


class EndpointBody(_Body):
    url: str
    secret: str = ""  # of a face that signs
    face: str = NATIVE


class NextBody(_Body):
    codes: list[str | None]


class FailBody(_Body):
    reason: str = "lost_or_stolen_card"


class StateBody(_Body):
    """See oddities.NewState."""

    status: Literal["pending", "succeeded", "declined", "canceled", "expired"] | None = None
    captured_minor: Annotated[int, Field(ge=0)] | None = None
    amount_minor: Annotated[int, Field(ge=0)] | None = None
    currency: CurrencyCode | None = None
    card: str | None = None
    told: bool = True  # False: no webhook about it


class DashboardRefundBody(_Body):
    payment: str
    amount_minor: Annotated[int, Field(gt=0)] | None = None


class MethodBody(_Body):
    expires: str


async def clock(request: Request) -> Any:
    sandbox = _sandbox(request)
    if request.method == "POST":
        body = ClockBody.model_validate_json(await request.body())
        ahead_us = 0 if body.now is None else from_iso(body.now) - sandbox.now_us()
        if ahead_us < 0:
            raise Refused(Reason.CLOCK_ONLY_FORWARD, "The clock only goes forward.")
        sandbox.advance((body.advance_s or 0) + ahead_us / SECOND_US)
        with sandbox.moment() as at:
            run_due(at)
    return {"now": iso(sandbox.now_us())}


async def fault(request: Request) -> Any:
    raw = await request.body()
    with _sandbox(request).db.transaction() as tx:
        match request.method:
            case "POST":
                return {"id": faults.script(tx, faults.Fault.model_validate_json(raw))}
            case "DELETE":
                faults.clear(tx)
            case _:
                pass
        return {"faults": faults.waiting(tx)}


async def down(request: Request) -> Any:
    body = DownBody.model_validate_json(await request.body() or b"{}")
    with _sandbox(request).db.transaction() as tx:
        set_setting(tx, "down", body.how if body.down else None)
    return {"down": body.down}


async def webhooks(request: Request) -> Any:
    raw = await request.body()
    with _sandbox(request).db.transaction() as tx:
        if request.method == "POST":
            notices.set_rule(tx, RuleBody.model_validate_json(raw).rule())
        return {"deliveries": notices.deliveries(tx)}


async def release(request: Request) -> Any:
    body = ReleaseBody.model_validate_json(await request.body() or b"{}")
    sender: WebhookSender = request.app.state.sender
    return {"released": await sender.release(newest_first=body.order == "reverse")}


async def redeliver(request: Request) -> Any:
    body = RedeliverBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        notices.redeliver(at.tx, body.event)
    return {"event": body.event}


async def endpoint(request: Request) -> Any:
    body = EndpointBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        notices.add_endpoint(at.tx, body.url, body.secret, body.face)
    return {"url": body.url}


async def next_codes(request: Request) -> Any:
    body = NextBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        methods.script(at, _id(request, "sm"), body.codes)
    return {"codes": body.codes}


async def succeed_payment(request: Request) -> Any:
    with _sandbox(request).moment() as at:
        return payment_view(at, payments.succeed_late(at, _id(request, "sp")))


async def restate_payment(request: Request) -> Any:
    body = StateBody.model_validate_json(await request.body())
    new = oddities.NewState(**body.model_dump(exclude={"told"}))
    with _sandbox(request).moment() as at:
        return payment_view(at, oddities.restate(at, _id(request, "sp"), new, with_webhook=body.told))


async def twin_payment(request: Request) -> Any:
    with _sandbox(request).moment() as at:
        return payment_view(at, oddities.twin(at, _id(request, "sp")))


async def refund_by_hand(request: Request) -> Any:
    body = DashboardRefundBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        return refund_view(at, oddities.refund_by_hand(at, body.payment, body.amount_minor))


async def update_method(request: Request) -> Any:
    body = MethodBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        return method_view(methods.renew_card(at, _id(request, "sm"), body.expires))


async def fail_refund(request: Request) -> Any:
    body = FailBody.model_validate_json(await request.body() or b"{}")
    with _sandbox(request).moment() as at:
        return refund_view(at, refunds.fail(at, _id(request, "sr"), body.reason))


async def succeed_refund(request: Request) -> Any:
    with _sandbox(request).moment() as at:
        return refund_view(at, refunds.succeed(at, _id(request, "sr")))


async def kept(request: Request) -> Any:
    id_ = request.path_params["id"]
    with _sandbox(request).moment() as at:
        row = refunds.refund(at, id_) if id_.startswith("sr_") else payments.payment(at, id_)
        return json.loads(row["request"]).get("kept", {})


async def reset(request: Request) -> Any:
    _sandbox(request).reset()
    return {"reset": True}


def routes() -> list[Route]:
    table: list[tuple[str, Any, list[str]]] = [
        ("clock", clock, ["GET", "POST"]),
        ("faults", fault, ["GET", "POST", "DELETE"]),
        ("down", down, ["POST"]),
        ("webhooks", webhooks, ["GET", "POST"]),
        ("webhooks/release", release, ["POST"]),
        ("webhooks/redeliver", redeliver, ["POST"]),
        ("endpoints", endpoint, ["POST"]),
        ("methods/{id}/next", next_codes, ["POST"]),
        ("payments/{id}/succeed", succeed_payment, ["POST"]),
        ("payments/{id}/state", restate_payment, ["POST"]),
        ("payments/{id}/twin", twin_payment, ["POST"]),
        ("methods/{id}/update", update_method, ["POST"]),
        ("refunds", refund_by_hand, ["POST"]),
        ("refunds/{id}/fail", fail_refund, ["POST"]),
        ("refunds/{id}/succeed", succeed_refund, ["POST"]),
        ("kept/{id}", kept, ["GET"]),
        ("reset", reset, ["POST"]),
    ]
    return [Route(f"/control/{path}", _json(run), methods=methods) for path, run, methods in table]


def _json(run: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await run(request))
        except Refused as refused:
            answer = refusal_answer(refused)
            return JSONResponse(answer.body, answer.status)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"error": {"code": "invalid_parameter", "message": str(error)}}, 400)

    return endpoint


def _id(request: Request, prefix: str) -> str:
    """The engine's id of what the path names as any face writes it: each shows the same 24 digits in its own way."""
    written = str(request.path_params["id"])
    return f"{prefix}_{written.rpartition('_')[2].replace('-000f-5000-', '').replace('-', '')}"


def _sandbox(request: Request) -> Sandbox:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox
