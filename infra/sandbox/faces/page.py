"""The hosted checkout page, shared by all faces: plain HTML forms, no script, no resources of other sites."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from infra.sandbox.engine import payments
from infra.sandbox.engine.cards import BY_SLUG, CARDS, Card, by_number, by_slug, luhn_valid, message
from infra.sandbox.engine.clock import SECOND_US, iso
from infra.sandbox.engine.core import NATIVE, Moment, Sandbox
from infra.sandbox.engine.currencies import shown
from infra.sandbox.engine.database import Row
from infra.sandbox.engine.due import run_due
from infra.sandbox.engine.payments import OPEN
from infra.sandbox.engine.refusals import Refused

_PAGES = Path(__file__).with_name("pages")
_HTML = Environment(
    loader=FileSystemLoader(_PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_STYLE = (_PAGES / "style.css").read_text()
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none';"
    " frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# As people type it: 12 / 34, 12/34, 1234, 12/2034.
_EXPIRES = re.compile(r"(0[1-9]|1[0-2])/?(?:20)?(\d{2})")


async def checkout(request: Request) -> Response:
    """GET shows the form, or how the checkout ended; POST pays."""
    form = await request.form() if request.method == "POST" else None
    with _moment(request) as at:
        row = payments.payment(at, request.path_params["id"])
        if row["status"] == "succeeded" and "waited" in request.query_params:
            return _see(_return_url(row))
        if row["status"] not in OPEN:
            return _closed(at, row)
        if row["authorized_until"] is not None:
            return _see(_return_url(row))
        if row["processing_until"] is not None:
            return _show("processing.html", at, row)
        if form is None:
            return _form(at, row, _filled(request.query_params.get("card")))
        return _submit(at, row, form)


async def challenge(request: Request) -> Response:
    """The bank's page of a 3-D Secure step."""
    form = await request.form() if request.method == "POST" else None
    with _moment(request) as at:
        row = payments.payment(at, request.path_params["id"])
        if row["status"] != "action_required":
            return _see(_page_url(at, row))
        if form is None:
            return _show("challenge.html", at, row, card=by_slug(row["card"]))
        row = payments.answer_challenge(at, row["id"], confirmed=form.get("decision") == "confirm")
        return _onward(at, row)


async def style(request: Request) -> Response:  # noqa: ARG001  # an endpoint takes its request
    return Response(_STYLE, media_type="text/css", headers={"cache-control": "max-age=300"})


def _submit(at: Moment, row: Row, form: FormData) -> Response:
    typed = {name: str(form.get(name, "")).strip() for name in ("number", "expires", "cvc", "holder")}
    errors = _complaints(at, typed)
    card = by_number(_digits(typed["number"]))
    if errors or card is None:
        return _form(at, row, typed, errors, status=422)
    row = payments.pay(at, row["id"], card, _expires(typed["expires"]))
    if row["status"] == "pending" and row["decline_code"]:
        return _form(at, row, typed | {"cvc": ""}, status=402)
    return _onward(at, row)


def _onward(at: Moment, row: Row) -> Response:
    """Where the customer goes next: the merchant, the bank, or back to the form."""
    if row["status"] == "succeeded" or row["authorized_until"] is not None:
        return _see(_return_url(row))
    if row["status"] == "action_required":
        return _see(_page_url(at, row) + "/challenge")
    return _see(_page_url(at, row))


def _complaints(at: Moment, typed: dict[str, str]) -> dict[str, str]:
    errors = {}
    number = _digits(typed["number"])
    if not luhn_valid(number):
        errors["number"] = "Check the card number."
    elif by_number(number) is None:
        errors["number"] = "This is a simulator: it takes only the test cards listed here, never a real card."
    if not _EXPIRES.fullmatch(_digits(typed["expires"])):
        errors["expires"] = "Write it as MM / YY."
    elif _expires(typed["expires"]) < str(iso(at.now))[:7]:
        errors["expires"] = "This card has expired."
    if not re.fullmatch(r"\d{3,4}", typed["cvc"]):
        errors["cvc"] = "3 or 4 digits."
    return errors


def _form(
    at: Moment, row: Row, typed: dict[str, str], errors: dict[str, str] | None = None, *, status: int = 200
) -> Response:
    declined = message(row["decline_code"]) if row["decline_code"] and not errors else None
    values = {"typed": typed, "errors": errors or {}, "declined": declined, "cards": CARDS}
    return _show("checkout.html", at, row, status=status, **values)


def _closed(at: Moment, row: Row) -> Response:
    """The link of a closed checkout says how it ended."""
    if row["status"] == "succeeded":
        return _show(
            "notice.html", at, row, headline="Paid. Thank you!", text="There is nothing left to do here."
        )
    words = {
        "expired": ("This link has expired", "Nothing was charged. Start again at the cinema."),
        "canceled": ("This payment was canceled", "Nothing was charged. Start again at the cinema."),
    }
    headline, text = words.get(row["status"], ("This payment is closed", "Start again at the cinema."))
    return _show("notice.html", at, row, status=410, headline=headline, text=text)


def _show(page: str, at: Moment, row: Row, *, status: int = 200, **more: Any) -> Response:
    asked = json.loads(row["request"])
    left_s = max((row["expires_at"] or at.now) - at.now, 0) // SECOND_US
    html = _HTML.get_template(page).render(
        merchant=at.config.merchant,
        title=asked["description"],
        amount=shown(row["amount_minor"], row["currency"]),
        verifies=row["amount_minor"] == 0,
        saves=asked.get("save_method", False),
        email=asked.get("customer_email"),
        action=f"/pay/{row['id']}",
        hours_left=left_s // 3600,
        minutes_left=left_s // 60,
        return_url=_return_url(row),
        cancel_url=_with_query(asked["cancel_url"], order_id=row["their_order"], status="canceled")
        if asked.get("cancel_url")
        else None,
        **more,
    )
    return HTMLResponse(html, status, headers=_HEADERS)


def _not_found(at: Moment) -> Response:
    html = _HTML.get_template("notice.html").render(
        merchant=at.config.merchant,
        headline="No such payment",
        text="Check the link: it may be incomplete.",
        return_url=None,
        cancel_url=None,
    )
    return HTMLResponse(html, 404, headers=_HEADERS)


def _return_url(row: Row) -> str:
    """Of the sandbox's own face with order and status; other providers add nothing."""
    asked = json.loads(row["request"])
    if row["face"] != NATIVE:
        return str(asked["return_url"])
    return _with_query(asked["return_url"], order_id=row["their_order"], status=row["status"])


def _with_query(url: str, **more: str | None) -> str:
    parts = urlsplit(url)
    query = [
        *parse_qsl(parts.query, keep_blank_values=True),
        *((k, v) for k, v in more.items() if v is not None),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _filled(slug: str | None) -> dict[str, str]:
    """The form as a click on a test card fills it."""
    card: Card | None = BY_SLUG.get(slug or "")
    if card is None:
        return dict.fromkeys(("number", "expires", "cvc", "holder"), "")
    return {"number": card.spaced, "expires": "12 / 34", "cvc": "123", "holder": "Ada Viewer"}


def _digits(text: str) -> str:
    """Without the spaces and hyphens between them."""
    return re.sub(r"[\s-]", "", text)


def _expires(text: str) -> str:
    """YYYY-MM."""
    found = _EXPIRES.fullmatch(_digits(text))
    assert found is not None
    return f"20{found[2]}-{found[1]}"


def _page_url(at: Moment, row: Row) -> str:
    return f"{at.config.public_url}/pay/{row['id']}"


def _see(url: str) -> Response:
    return RedirectResponse(url, 303, headers={"cache-control": "no-store"})


def _moment(request: Request) -> Any:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox.moment()


def routes() -> list[Route]:
    return [
        Route("/pay/style.css", style, methods=["GET"]),
        Route("/pay/{id}", _up_to_date(checkout), methods=["GET", "POST"]),
        Route("/pay/{id}/challenge", _up_to_date(challenge), methods=["GET", "POST"]),
    ]


def _up_to_date(page: Any) -> Any:
    """Run what the clock has made due before a page is shown; a missing payment gets a page too."""

    async def endpoint(request: Request) -> Response:
        with _moment(request) as at:
            run_due(at)
        try:
            return await page(request)  # type: ignore[no-any-return]
        except Refused:
            with _moment(request) as at:
                return _not_found(at)

    return endpoint
