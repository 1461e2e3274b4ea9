"""The TLS context of this process for connections to other servers."""

from __future__ import annotations

import ssl
from functools import lru_cache

import httpx


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Verifies certificates and host names; made on first use, because it takes 20 to 40 ms. SSL_CERT_FILE and SSL_CERT_DIR count."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
