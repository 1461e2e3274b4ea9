"""The control surface: time, trouble, scripts. It exists because this is a simulator; there is no key to it.

GET  POST /control/clock              {"advance_s": 3600} | {"now": "2027-01-31T00:00:00Z"}
GET  POST DELETE /control/faults      see faults.Fault
POST /control/down                    {"down": true, "how": "drop" | "503"}
GET  POST /control/webhooks           {"mode": "duplicate" | "delay" | "hold" | "drop" | null, "types", "times"}
POST /control/webhooks/release        {"order": "reverse" | "arrival"}
POST /control/webhooks/redeliver      {"event": "evt_..."}
POST /control/endpoints               {"url": ..., "secret": "whsec_..."}
POST /control/methods/{id}/next       {"codes": ["insufficient_funds", null]}: null approves
POST /control/payments/{id}/succeed   money that arrives although the payment was closed
POST /control/payments/{id}/state     see oddities.StateBody: another amount captured, another state
POST /control/payments/{id}/twin      a second open payment with the same metadata
POST /control/refunds                 {"payment": "sp_...", "amount_minor": 100}: made in the dashboard
POST /control/methods/{id}/update     {"expires": "2040-01"}
POST /control/refunds/{id}/fail       {"reason": ...}
POST /control/refunds/{id}/succeed
POST /control/reset
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox import events, faults, oddities, payments, refunds
from infra.sandbox.core import SECOND_US, Refused, Sandbox, from_iso, iso, wall_s
from infra.sandbox.database import many, one, set_setting
from infra.sandbox.due import run_due
from infra.sandbox.views import payment_view, refund_view
from infra.sandbox.webhooks import Courier


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClockBody(_Body):
    advance_s: Annotated[float, Field(ge=0)] | None = None
    now: str | None = None


class DownBody(_Body):
    down: bool = True
    how: Literal["drop", "503"] = "drop"


class RuleBody(_Body):
    mode: events.Mode | None
    types: str = "*"
    times: Annotated[int, Field(ge=1)] | None = 1
    delay_ms: int = 1000

    def rule(self) -> events.Rule | None:
        if self.mode is None:
            return None
        return events.Rule(mode=self.mode, types=self.types, times=self.times, delay_ms=self.delay_ms)


class ReleaseBody(_Body):
    order: Literal["reverse", "arrival"] = "reverse"


class RedeliverBody(_Body):
    event: str


class EndpointBody(_Body):
    url: str
    secret: str


class NextBody(_Body):
    codes: list[str | None]


class FailBody(_Body):
    reason: str = "lost_or_stolen_card"


async def clock(request: Request) -> Any:
    sandbox = _sandbox(request)
    if request.method == "POST":
        body = ClockBody.model_validate_json(await request.body())
        ahead_us = 0 if body.now is None else from_iso(body.now) - sandbox.now_us()
        if ahead_us < 0:
            raise Refused(400, "clock_only_forward", "The clock only goes forward.")
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
            events.set_rule(tx, RuleBody.model_validate_json(raw).rule())
        rows = many(
            tx,
            "SELECT e.id, e.type, d.state, d.attempts, d.last_answer, e.body FROM deliveries d"
            " JOIN events e ON e.id = d.event ORDER BY d.seq DESC LIMIT 200",
        )
    return {"deliveries": [dict(row) | {"body": json.loads(row["body"])} for row in rows]}


async def release(request: Request) -> Any:
    body = ReleaseBody.model_validate_json(await request.body() or b"{}")
    courier: Courier = request.app.state.courier
    return {"released": await courier.release(newest_first=body.order == "reverse")}


async def redeliver(request: Request) -> Any:
    body, sandbox = RedeliverBody.model_validate_json(await request.body()), _sandbox(request)
    with sandbox.moment() as at:
        if one(at.tx, "SELECT 1 FROM events WHERE id = ?", body.event) is None:
            raise Refused(404, "resource_missing", "No such event.")
        for row in many(at.tx, "SELECT id FROM endpoints WHERE enabled"):
            at.tx.execute(
                "INSERT INTO deliveries (event, endpoint, state, due_wall_s) VALUES (?, ?, 'waiting', ?)",
                (body.event, row["id"], wall_s()),
            )
    return {"event": body.event}


async def endpoint(request: Request) -> Any:
    body = EndpointBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        events.add_endpoint(at.tx, body.url, body.secret)
    return {"url": body.url}


async def next_codes(request: Request) -> Any:
    body, id_ = NextBody.model_validate_json(await request.body()), request.path_params["id"]
    with _sandbox(request).moment() as at:
        changed = at.tx.execute("UPDATE methods SET scripted = ? WHERE id = ?", (json.dumps(body.codes), id_))
        if not changed.rowcount:
            raise Refused(404, "resource_missing", "No such method.")
    return {"codes": body.codes}


async def succeed_payment(request: Request) -> Any:
    with _sandbox(request).moment() as at:
        return payment_view(at, payments.succeed_late(at, request.path_params["id"]))


async def restate_payment(request: Request) -> Any:
    body = oddities.StateBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        return payment_view(at, oddities.restate(at, request.path_params["id"], body))


async def twin_payment(request: Request) -> Any:
    with _sandbox(request).moment() as at:
        return payment_view(at, oddities.twin(at, request.path_params["id"]))


async def refund_by_hand(request: Request) -> Any:
    body = oddities.DashboardRefundBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        return refund_view(at, oddities.refund_by_hand(at, body))


async def update_method(request: Request) -> Any:
    body = oddities.MethodBody.model_validate_json(await request.body())
    with _sandbox(request).moment() as at:
        return oddities.update_method(at, request.path_params["id"], body)


async def fail_refund(request: Request) -> Any:
    body = FailBody.model_validate_json(await request.body() or b"{}")
    with _sandbox(request).moment() as at:
        return refund_view(at, refunds.fail(at, request.path_params["id"], body.reason))


async def succeed_refund(request: Request) -> Any:
    with _sandbox(request).moment() as at:
        return refund_view(at, refunds.succeed(at, request.path_params["id"]))


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
        ("reset", reset, ["POST"]),
    ]
    return [Route(f"/control/{path}", _json(run), methods=methods) for path, run, methods in table]


def _json(run: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await run(request))
        except Refused as refusal:
            return JSONResponse(refusal.body, refusal.status)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"error": {"code": "invalid_parameter", "message": str(error)}}, 400)

    return endpoint


def _sandbox(request: Request) -> Sandbox:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox
