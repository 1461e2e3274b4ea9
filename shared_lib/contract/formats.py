"""How ids and keys look, for documents. Nothing is validated by these: a value of another form is not found, or refused by its own rule."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

IDENTIFIER: Final = "^[A-Za-z0-9_-]+$"
"""Products, prices and providers, which operators name."""

_ULID: Final = "[0-9A-HJKMNP-TV-Z]{26}"
_EXAMPLE: Final = "01JD0000000000000000000000"
_KEY: Final = r"[ !#-\[\]-~]"


def id_schema(prefix: str) -> dict[str, Any]:
    """The schema of an id that shared_lib/ids.py makes."""
    return {"type": "string", "pattern": f"^{prefix}_{_ULID}$", "examples": [f"{prefix}_{_EXAMPLE}"]}


def example_id(prefix: str) -> str:
    """An id that belongs to no object."""
    return f"{prefix}_{_EXAMPLE}"


NAME_SCHEMA: Final[dict[str, Any]] = {"type": "string", "pattern": IDENTIFIER}
KEY_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": rf'^("({_KEY}|\\["\\]){{1,255}}"|{_KEY.replace(" ", "")}{{1,255}})$',
}
"""An Idempotency-Key: a quoted string of structured fields (RFC 9651), or bare."""

PATH_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "order_id": id_schema("ord"),
    "subscription_id": id_schema("sub"),
    "refund_id": id_schema("ref"),
    "method_id": id_schema("pm"),
    "provider": NAME_SCHEMA | {"examples": ["sandbox"]},
}
"""Schemas by the names that paths have (routes.py)."""

OrderId = Annotated[str, WithJsonSchema(id_schema("ord"))]
PaymentId = Annotated[str, WithJsonSchema(id_schema("pay"))]
SubscriptionId = Annotated[str, WithJsonSchema(id_schema("sub"))]
RefundId = Annotated[str, WithJsonSchema(id_schema("ref"))]
EntitlementId = Annotated[str, WithJsonSchema(id_schema("ent"))]
MethodId = Annotated[str, WithJsonSchema(id_schema("pm"))]
Name = Annotated[str, WithJsonSchema(NAME_SCHEMA)]
Currency = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR"]})]
Link = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]
