"""Stripe: hosted Checkout Sessions, off-session PaymentIntents, refunds, signed webhooks."""
