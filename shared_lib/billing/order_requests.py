"""What a customer asks for when ordering."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.replies import Key
from shared_lib.billing.reports import RenderPayment
from shared_lib.domain.catalog import ProviderTerms
from shared_lib.domain.values import Value


class Buyer(Value, kw_only=True):
    """A customer as the Auth service describes them in a token. None is unknown, not absent."""

    customer_id: str
    email: str | None
    locale: str | None
    time_zone: str | None

    def completed(self, known: Buyer | None) -> Buyer:
        """The same, with what is known already in place of what the token does not say."""
        if known is None:
            return self
        return Buyer(
            customer_id=self.customer_id,
            email=self.email or known.email,
            locale=self.locale or known.locale,
            time_zone=self.time_zone or known.time_zone,
        )


class OrderRequest(Value, kw_only=True):
    """One request for one price. `render` turns what was committed into the bytes of the answer."""

    key: Key
    buyer: Buyer
    price_id: str
    return_url: str
    terms: Sequence[ProviderTerms]  # the providers that may take it, in order of preference
    render: RenderPayment
    payment_method_id: str | None = None
    respond_async: bool = False  # answer at once; a job asks the provider
    open_max: int = 10  # how many orders of one customer may wait for money at once
    trace: str | None = None
