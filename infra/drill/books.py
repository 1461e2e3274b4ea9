"""What was lost or done twice: what customers observed, the provider's books and our rows, order by order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from infra.demo.reckoning import OPEN, OURS, line_of
from infra.demo.town import Json
from infra.drill.customer import Customer

FAULTS_SHOWN: Final = 10

# Each query finds something that must exist only once.
TWICE: Final = """
SELECT 'two orders of one customer: ' || customer_id AS fault FROM orders
 WHERE customer_id LIKE 'load%' AND billing_reason <> 'subscription_cycle' GROUP BY customer_id HAVING count(*) > 1
UNION ALL SELECT 'a period paid twice: ' || o.subscription_id FROM orders o JOIN payments p ON p.order_id = o.id
 WHERE o.subscription_id IS NOT NULL AND p.status = 'succeeded' AND NOT p.surplus
 GROUP BY o.subscription_id, o.period_n HAVING count(*) > 1
UNION ALL SELECT 'two payments kept for one order: ' || order_id FROM payments
 WHERE status = 'succeeded' AND NOT surplus GROUP BY order_id HAVING count(*) > 1
UNION ALL SELECT 'money taken twice and to be returned: ' || order_id FROM payments WHERE surplus
UNION ALL SELECT 'two receipts: ' || n.customer_id FROM notifications n
 WHERE n.customer_id LIKE 'load%' AND n.event_type = 'billing.order.paid' GROUP BY n.customer_id
 HAVING count(*) > (SELECT count(*) FROM orders o WHERE o.customer_id = n.customer_id AND o.paid_at IS NOT NULL)
"""

Ask = Callable[[str], Awaitable[list[Json]]]


async def counted(ask: Ask, books: Json, customers: Sequence[Customer]) -> Json:
    """`lost`: promised to a customer and missing. `doubled`: done twice. `faults`: every contradiction, as text."""
    lines = [line_of(order, books["orders"]) for order in await ask(OURS)]
    made = Counter(one.order["customer_id"] for one in lines)
    lost = [f"{one.id}: {one.failed or 'not served'}" for one in customers if not one.served]
    lost += [f"{one.id}: the order is missing" for one in customers if one.order and not made[one.id]]
    doubled = [row["fault"] for row in await ask(TWICE)]
    doubled += [
        f"{one.order['id']}: the provider took {one.provider_in} of {one.order['amount_minor']}"
        for one in lines
        if one.provider_in > one.order["amount_minor"]
    ]
    faults = [fault for one in lines for fault in one.faults]
    known = {one.order["id"] for one in lines}
    faults += [f"{id_}: only the provider has it" for id_ in books["orders"] if id_ not in known]
    faults += [f"{row['what']}: {row['count']}" for row in await ask(OPEN) if row["count"]]
    doubtful = await ask("SELECT count(*) AS mails FROM notifications WHERE status = 'unknown'")
    return {
        "customers": len(customers),
        "orders": len(lines),
        "lost": lost[:FAULTS_SHOWN],
        "lost_count": len(lost),
        "doubled": doubled[:FAULTS_SHOWN],
        "doubled_count": len(doubled),
        "faults": faults[:FAULTS_SHOWN],
        "faults_count": len(faults),
        "doubtful_mails": doubtful[0]["mails"],
    }
