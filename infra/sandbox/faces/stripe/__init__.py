"""Stripe's wire format: form-encoded bodies, expandable JSON objects, signed events. Served under /stripe/v1."""
