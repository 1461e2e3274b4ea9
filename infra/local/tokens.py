"""Access tokens of the Auth stand-in."""

from __future__ import annotations

import httpx

from infra.local.home import Running

TOKEN_TTL_S = 12 * 3600


async def token(running: Running, customer: str, *scopes: str) -> str:
    """A token for `customer` with these scopes, valid for 12 hours."""
    wanted = {
        "sub": customer,
        "scopes": list(scopes),
        "email": f"{customer}@example.com",
        "ttl_s": TOKEN_TTL_S,
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{running.auth}/token", json=wanted)
    return str(answer.raise_for_status().json()["access_token"])
