"""The edge of HTTP: a door as an ASGI app, authentication, dispatch, and idempotency keys. Independent of any one function."""
