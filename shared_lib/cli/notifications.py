"""`boxoffice notifications list|resend|dismiss`: mails to customers, and having one sent again."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from rich.console import RenderableType

from shared_lib.billing.events import JOBS, JobType
from shared_lib.cli.terminal import (
    CannotError,
    Connection,
    Output,
    by_name,
    connected,
    moment,
    more,
    note,
    repair_by,
    table,
)
from shared_lib.ids import new_id
from shared_lib.store.outbox import shard_of

ROWS_MAX: Final = 200
_NAMES: Final = ("id", "at", "status", "type", "customer", "order", "attempts", "detail")
_COLUMNS: Final = """id, coalesce(sent_at, created_at), status, event_type, customer_id,
    coalesce(data->>'order_id', data->>'subscription_id'), attempts, detail"""
_UNDELIVERED: Final = """(status IN ('failed', 'refused', 'unknown', 'skipped')
    OR (status = 'sending' AND locked_until <= boxoffice_now()))"""
# Each is read by an index from its end, so the number of mails that there are makes no difference.
_ALL: Final = f"""
    SELECT {_COLUMNS} FROM notifications
    WHERE id < %(before)s AND (NOT %(undelivered)s OR {_UNDELIVERED}) ORDER BY id DESC LIMIT %(max)s
"""
_NOT_SENT: Final = f"""
    SELECT {_COLUMNS} FROM unnest(ARRAY['failed', 'refused', 'unknown', 'skipped', 'sending']) AS wanted (state)
    CROSS JOIN LATERAL (SELECT * FROM notifications WHERE status = state AND status <> 'sent' AND id < %(before)s
                        AND {_UNDELIVERED} ORDER BY id DESC LIMIT %(max)s) AS n
    ORDER BY id DESC LIMIT %(max)s
"""
_OF_CUSTOMERS: Final = f"""
    SELECT {_COLUMNS} FROM unnest(%(customers)s::text[]) AS wanted (customer)
    CROSS JOIN LATERAL (SELECT * FROM notifications WHERE customer_id = customer AND id < %(before)s
                        AND (%(about)s::text IS NULL OR data->>'order_id' = %(about)s OR data->>'subscription_id' = %(about)s)
                        AND (NOT %(undelivered)s OR {_UNDELIVERED}) ORDER BY id DESC LIMIT %(max)s) AS n
    ORDER BY id DESC LIMIT %(max)s
"""
_AFTER_ALL: Final = "ntf_~"  # sorts after every id
_PUBLISH: Final = """
    INSERT INTO outbox (event_id, topic, type, subject, partition_key, shard, data, created_at, available_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, boxoffice_now(), boxoffice_now())
"""


def show_all(of: str | None, *, undelivered: bool, before: str | None = None) -> Output:
    """Newest first, at most ROWS_MAX. `of`: a customer, an e-mail address, an order or a subscription; None: of every customer.

    `before`: the last id of an earlier list, which this one continues.
    """
    asked: dict[str, object] = {"undelivered": undelivered, "before": before or _AFTER_ALL, "max": ROWS_MAX}
    with connected() as db:
        if of is None:
            sql = _NOT_SENT if undelivered else _ALL
        else:
            sql, (customers, about) = _OF_CUSTOMERS, _whose(db, of)
            asked |= {"customers": customers, "about": about}
        rows = db.execute(sql.encode(), asked).fetchall()
    if not rows:
        return Output(["No mails."], [])
    shown = [(row[0], moment(row[1]), *row[2:]) for row in rows]
    parts: list[RenderableType] = [table(("id", "at (UTC)", *_NAMES[2:]), shown)]
    return Output([*parts, *more(rows, ROWS_MAX)], by_name(_NAMES, rows))


def _whose(db: Connection, of: str) -> tuple[list[str], str | None]:
    """The customers, and the order or subscription that their mails must be about. CannotError when there is none of this name."""
    table_of = {"ord": "orders", "sub": "subscriptions"}.get(of.partition("_")[0])
    if "_" in of and table_of:
        found = db.execute(f"SELECT customer_id FROM {table_of} WHERE id = %s".encode(), [of]).fetchall()
        if not found:
            raise CannotError(f"There is no {of}.")
        return [row[0] for row in found], of
    by = "lower(email) = lower(%s)" if "@" in of else "id = %s"
    found = db.execute(f"SELECT id FROM customers WHERE {by}".encode(), [of]).fetchall()
    if not found and "@" in of:
        raise CannotError(f"No customer has the address {of}.")
    # A customer whose token never came here has no row, and may have mails that were skipped.
    return [row[0] for row in found] or [of], None


def resend(id_: str, *, by: str | None = None, because: str | None = None) -> Output:
    """Have the mail sent once more, with what our rows say now. It is the operator who decides that a second one may come."""
    with connected() as db:
        event_id, kind, customer, data, address = _to_send(db, id_)
        db.execute(
            "UPDATE notifications SET status = 'failed', detail = 'sent again by an operator' WHERE id = %s",
            [id_],
        )
        job = json.dumps({"event_id": event_id, "event_type": kind, "data": data})
        db.execute(
            _PUBLISH,
            [new_id("evt"), JOBS, JobType.SEND_NOTIFICATION, id_, customer, shard_of(customer), job],
        )
        note(db, repair_by(by, "resend", because), id_)
    says = (
        f"{id_} is sent again to {address}; `boxoffice notifications list {customer}` says what became of it."
    )
    return Output([says], {"id": id_, "customer": customer, "to": address})


def dismiss(id_: str, because: str, *, by: str | None = None) -> Output:
    """It is not sent again, and `doctor` no longer names it."""
    with connected() as db:
        if not db.execute(
            "UPDATE notifications SET status = 'skipped', detail = 'dismissed by an operator'"
            " WHERE id = %s AND status IN ('failed', 'refused', 'unknown') RETURNING id",
            [id_],
        ).fetchone():
            raise CannotError(
                f"There is no undelivered mail {id_}; see `boxoffice notifications list --undelivered`."
            )
        note(db, repair_by(by, "dismiss", because), id_)
    return Output([f"{id_} is dismissed: {because}"], {"id": id_, "because": because})


def _to_send(db: Connection, id_: str) -> tuple[str, str, str, object, str]:
    row = db.execute(
        "SELECT n.event_id, n.event_type, n.customer_id, n.data, c.email, n.status, n.locked_until, boxoffice_now()"
        " FROM notifications n LEFT JOIN customers c ON c.id = n.customer_id WHERE n.id = %s",
        [id_],
    ).fetchone()
    if row is None:
        raise CannotError(f"There is no notification {id_}; see `boxoffice notifications list`.")
    event_id, kind, customer, data, address, status, locked_until, now = row
    if data is None:
        raise CannotError(
            f"{id_} is of before mails could be sent again: its event was not kept. Write to the customer."
        )
    if address is None:
        raise CannotError(f"Customer {customer} has no address.")
    if status == "sending" and _held(locked_until, now):
        raise CannotError(f"{id_} is being sent at this moment.")
    return event_id, kind, customer, data, address


def _held(locked_until: datetime, now: datetime) -> bool:
    return locked_until > now
