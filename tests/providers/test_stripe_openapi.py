"""Every answer of the sandbox's Stripe face is as Stripe's own OpenAPI description says.

The description is of the version before ours; in what we use they are the same.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from infra.sandbox.faces.stripe.operations import OPERATIONS
from infra.sandbox.launch import SandboxHandle
from shared_lib.ids import new_id
from shared_lib.providers.base import Money
from shared_lib.providers.stripe.forms import encoded
from tests.kit.waiting import PATIENCE_S
from tests.providers.simulator import paid, refund_of, saved_method
from tests.providers.stripe_simulator import StripeSimulator

ROOT: Final = Path(__file__).resolve().parents[2]
PREFIX: Final = "/stripe"


class Description:
    """Stripe's, and which of its operations an answer was held against."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        _let_null(document)
        resource = DRAFT4.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource("urn:stripe", resource)
        self.held: set[tuple[str, str, str]] = set()

    def faults(self, method: str, path: str, answer: httpx.Response) -> list[str]:
        template = self._template(path)
        status = "200" if answer.status_code == 200 else "default"
        self.held.add((method, template, status))
        steps = [
            "paths",
            template,
            method.lower(),
            "responses",
            status,
            "content",
            "application/json",
            "schema",
        ]
        return self.faults_of(
            "#/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps), answer.json()
        )

    def faults_of(self, pointer: str, body: object) -> list[str]:
        validator = OAS30Validator({"$ref": f"urn:stripe{pointer}"}, registry=self._registry)
        return [f"{fault.json_path}: {fault.message[:300]}" for fault in validator.iter_errors(body)]

    def _template(self, path: str) -> str:
        """`/v1/refunds/re_1` is `/v1/refunds/{refund}`; a path without parameters is itself."""
        if path in self.document["paths"]:
            return path
        found = [it for it in self.document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", it), path)]
        return str(min(found, key=lambda it: it.count("{")))


def _let_null(document: object) -> None:
    """Stripe writes `anyOf` or `enum` with `nullable` and means null as well; to a validator of OpenAPI 3.0 it is not."""
    if isinstance(document, dict):
        if document.get("nullable") is True and isinstance(document.get("anyOf"), list):
            document["anyOf"].append({"type": "object", "nullable": True, "enum": [None]})
        if document.get("nullable") is True and isinstance(document.get("enum"), list):
            document["enum"].append(None)
        for inner in document.values():
            _let_null(inner)
    elif isinstance(document, list):
        for inner in document:
            _let_null(inner)


@pytest.fixture(scope="module")
def description() -> Description:
    fetched = subprocess.run(
        [ROOT / ".ci" / "stripe-openapi"], capture_output=True, text=True, check=False, timeout=300
    )
    if fetched.returncode:
        pytest.skip(fetched.stderr.strip())
    return Description(json.loads(Path(fetched.stdout.strip()).read_text()))


class Caller:
    """Calls the face, and holds each answer against the description."""

    def __init__(self, sandbox: SandboxHandle, description: Description) -> None:
        self._description = description
        self._http = httpx.Client(
            base_url=sandbox.url,
            headers={"authorization": f"Bearer {sandbox.api_key}"},
            timeout=PATIENCE_S,
            trust_env=False,
        )

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, status: int = 200
    ) -> Any:
        form = encoded(body or {}).decode()
        url, content = (f"{PREFIX}{path}?{form}", None) if method == "GET" else (PREFIX + path, form)
        answer = self._http.request(method, url, content=content)
        assert answer.status_code == status, answer.text
        assert self._description.faults(method, path, answer) == [], answer.text
        return answer.json()

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def call(sandbox: SandboxHandle, description: Description) -> Iterator[Caller]:
    caller = Caller(sandbox, description)
    yield caller
    caller.close()


EXPANDED: Final = {
    "expand": ["payment_intent.payment_method", "payment_intent.latest_charge", "setup_intent.payment_method"]
}


def session(**changed: Any) -> dict[str, Any]:
    price = {"currency": "eur", "unit_amount": 1299, "product_data": {"name": "Alien"}}
    return {
        "mode": "payment",
        "line_items": [{"quantity": 1, "price_data": price}],
        "success_url": "https://cinema.example/paid",
        "cancel_url": "https://cinema.example/cart",
        "metadata": {"payment_id": new_id("pay")},
        "payment_intent_data": {"setup_future_usage": "off_session", "description": "Alien"},
        "customer_creation": "always",
        "customer_email": "ann@cinema.example",
        "locale": "en",
        **changed,
    }


async def test_every_answer_is_as_described(
    call: Caller, stripe: StripeSimulator, description: Description
) -> None:
    opened = call("POST", "/v1/checkout/sessions", session())
    await stripe.pay(opened["url"], "soft_decline")
    call("GET", f"/v1/checkout/sessions/{opened['id']}", EXPANDED)  # with an intent that failed
    await stripe.pay(opened["url"])
    done = call("GET", f"/v1/checkout/sessions/{opened['id']}", EXPANDED)
    intent, method = done["payment_intent"], done["payment_intent"]["payment_method"]
    call("GET", "/v1/checkout/sessions", {"limit": 5, "expand": [f"data.{it}" for it in EXPANDED["expand"]]})
    call("GET", "/v1/checkout/sessions", {"payment_intent": intent["id"]})

    for card in ("slow", "challenge"):
        page = call("POST", "/v1/checkout/sessions", session())
        await stripe.pay(page["url"], card)
        call("GET", f"/v1/checkout/sessions/{page['id']}", EXPANDED)
    unpaid = call("POST", "/v1/checkout/sessions", session())
    call("POST", f"/v1/checkout/sessions/{unpaid['id']}/expire", {"expand": ["payment_intent"]})
    call("POST", f"/v1/checkout/sessions/{unpaid['id']}/expire", status=400)
    kept = {"mode": "setup", "currency": "eur", "success_url": "https://cinema.example/kept"}
    setup = call("POST", "/v1/checkout/sessions", kept)
    await stripe.pay(setup["url"])
    call("GET", f"/v1/checkout/sessions/{setup['id']}", EXPANDED)

    charge = {
        "amount": 500, "currency": "eur", "customer": method["customer"], "payment_method": method["id"],
        "off_session": True, "confirm": True, "expand": ["latest_charge", "payment_method"],
    }  # fmt: skip
    charged = call("POST", "/v1/payment_intents", charge)
    await stripe.post(
        f"methods/{stripe.in_the_bank(method['id'])}/next", {"codes": ["insufficient_funds", "expired_card"]}
    )
    for _ in range(2):
        declined = call("POST", "/v1/payment_intents", charge, status=402)
        call("GET", f"/v1/payment_intents/{declined['error']['payment_intent']['id']}")
    call("GET", f"/v1/payment_intents/{charged['id']}", {"expand": ["latest_charge"]})
    call("GET", "/v1/payment_intents", {"limit": 3, "expand": ["data.latest_charge"]})
    call("GET", "/v1/payment_intents/search", {"query": "metadata['payment_id']:'pay_1'"})
    call("POST", f"/v1/payment_intents/{charged['id']}/cancel", status=400)
    call("GET", f"/v1/charges/{charged['latest_charge']['id']}", {"expand": ["payment_intent"]})

    refund = {"payment_intent": charged["id"], "amount": 200, "reason": "requested_by_customer"}
    refunded = call("POST", "/v1/refunds", refund | {"expand": ["payment_intent", "charge"]})
    call("POST", "/v1/refunds", refund | {"amount": 400}, status=400)
    await stripe.fail_refund(refunded["id"])
    assert call("GET", f"/v1/refunds/{refunded['id']}")["failure_reason"] == "lost_or_stolen_card"
    call("GET", "/v1/refunds", {"payment_intent": charged["id"]})

    call("GET", f"/v1/payment_methods/{method['id']}")
    call("POST", f"/v1/payment_methods/{method['id']}/detach")
    call("GET", "/v1/payment_methods/pm_unknown", status=404)
    newest = call("GET", "/v1/events")["data"][0]
    call("GET", f"/v1/events/{newest['id']}")

    answered = {(method, path) for method, path, status in description.held if status == "200"}
    never = {("POST", "/v1/payment_intents/{intent}/cancel")}  # charges end at once here
    assert len(answered | never) == len({(it.method, it.path) for it in OPERATIONS})


async def test_every_event_holds_an_object_as_described(
    stripe: StripeSimulator, description: Description
) -> None:
    payment = await paid(stripe)
    await stripe.provider.refund(refund_of(payment, Money(300, "EUR")))
    await stripe.provider.forget_method(await saved_method(stripe))
    events = (
        await stripe.http.get(f"{PREFIX}/v1/events", headers={"authorization": f"Bearer {stripe.secrets[0]}"})
    ).json()["data"]
    seen = set()
    for event in events:
        about = event["data"]["object"]
        assert description.faults_of("#/components/schemas/event", event) == []
        assert description.faults_of(f"#/components/schemas/{about['object']}", about) == []
        seen.add(about["object"])
    assert seen >= {"checkout.session", "payment_intent", "charge", "refund", "payment_method"}
