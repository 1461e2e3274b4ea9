"""A stand-in for the cinema's Auth service: real keys and tokens, no passwords. Loopback only by default.

    python -m infra.standins.auth_service --port 8090 --data .local/auth

GET /.well-known/jwks.json   POST /token {"sub", "scopes", "email", "locale", "ttl_s", "alg"}   GET /livez
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ISSUER: Final = "https://auth.cinema.example"
AUDIENCE: Final = "boxoffice"
HOST: Final = "127.0.0.1"
TTL_S: Final = 3600

Algorithm = Literal["RS256", "EdDSA"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key, and the key id of its public half."""

    algorithm: Algorithm
    kid: str
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

    def public_jwk(self) -> dict[str, Any]:
        return _jwk(self.private) | {"kid": self.kid, "use": "sig", "alg": self.algorithm}


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """One key per algorithm."""

    by_algorithm: Mapping[Algorithm, SigningKey]

    @classmethod
    def open(cls, data: Path) -> SigningKeys:
        """The keys in the folder `data`, created on first use. Processes that start at the same time get the same keys."""
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls({name: _load_or_make(data, name) for name in ("RS256", "EdDSA")})

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.public_jwk() for key in self.by_algorithm.values()]}


def issue_token(
    keys: SigningKeys,
    *,
    sub: str,
    scopes: Sequence[str] = ("billing:customer",),
    email: str | None = None,
    locale: str | None = None,
    ttl_s: int = TTL_S,
    alg: Algorithm = "EdDSA",
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
    issued_at: datetime | None = None,
    more: Mapping[str, object] | None = None,
    typ: str = "at+jwt",
) -> str:
    """An access token (RFC 9068) for `sub`; `issued_at` defaults to the system's clock; `more` are claims beside these."""
    key, issued_at = keys.by_algorithm[alg], issued_at or datetime.now(UTC)
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": sub,
        "iat": issued_at,
        "exp": issued_at + timedelta(seconds=ttl_s),
        "jti": secrets.token_hex(8),
        "scope": " ".join(scopes),
    }
    claims |= {name: value for name, value in (("email", email), ("locale", locale)) if value is not None}
    claims |= more or {}
    return jwt.encode(claims, key.private, algorithm=alg, headers={"kid": key.kid, "typ": typ})


def build_app(keys: SigningKeys, *, issuer: str = ISSUER, audience: str = AUDIENCE) -> Starlette:
    """The service as an ASGI app."""

    async def jwks(_: Request) -> Response:
        return JSONResponse(keys.jwks(), headers={"cache-control": "max-age=300"})

    async def token(request: Request) -> Response:
        try:
            wanted = _wanted(await request.json())
        except ValueError as error:
            return JSONResponse({"error": "invalid_request", "error_description": str(error)}, 400)
        ttl_s = wanted.get("ttl_s", TTL_S)
        access_token = issue_token(keys, **wanted, issuer=issuer, audience=audience)
        return JSONResponse({"access_token": access_token, "token_type": "Bearer", "expires_in": ttl_s})

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/.well-known/jwks.json", jwks),
            Route("/token", token, methods=["POST"]),
            Route("/livez", livez),
        ]
    )


def _wanted(body: object) -> dict[str, Any]:
    """The arguments of `issue_token` in a request's body, or ValueError."""
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - answered with 400
    kinds = {"sub": str, "scopes": list, "email": str, "locale": str, "ttl_s": int, "alg": str}
    given = {name: value for name, value in body.items() if value is not None}
    wrong = [name for name, value in given.items() if not isinstance(value, kinds.get(name, ()))]
    wrong += [] if all(isinstance(scope, str) for scope in given.get("scopes", [])) else ["scopes"]
    if wrong or not given.get("sub") or given.get("alg", "EdDSA") not in ("RS256", "EdDSA"):
        raise ValueError(f"unknown or malformed: {', '.join(wrong) or 'sub or alg'}")
    return given


def _load_or_make(data: Path, algorithm: Algorithm) -> SigningKey:
    path = data / f"{algorithm.lower()}.pem"
    if not path.exists():
        _write_once(path, _make(algorithm))
    private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        raise TypeError(f"{path} does not hold an {algorithm} key")
    thumbprint = hashlib.sha256(json.dumps(_jwk(private), sort_keys=True).encode()).digest()
    kid = base64.urlsafe_b64encode(thumbprint[:12]).decode()
    return SigningKey(algorithm=algorithm, kid=kid, private=private)


def _make(algorithm: Algorithm) -> bytes:
    private = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if algorithm == "RS256"
        else ed25519.Ed25519PrivateKey.generate()
    )
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_once(path: Path, content: bytes) -> None:
    """Write a complete file or none. The first writer wins, because link() refuses to overwrite."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _jwk(private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> dict[str, Any]:
    if isinstance(private, rsa.RSAPrivateKey):
        public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        public = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {name: public[name] for name in ("kty", "n", "e", "crv", "x") if name in public}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--host", default=HOST, help="0.0.0.0 in a container, whose network is its own")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="directory that keeps the keys")
    parser.add_argument("--issuer", default=ISSUER)
    parser.add_argument("--audience", default=AUDIENCE)
    args = parser.parse_args()
    app = build_app(SigningKeys.open(args.data), issuer=args.issuer, audience=args.audience)
    uvicorn.run(app, host=args.host, port=args.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
