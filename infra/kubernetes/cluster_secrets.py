"""The secrets of the kind cluster: made once, kept in .local/kind, one Secret for each kind.

Pods refer to Secrets by name (envFrom) and get those that shared_lib/processes.py lists for their process.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from infra.compose.env_files import env_file, keep, redis_acl, values
from infra.kubernetes.commands import FOLDER, NAMESPACE, Object
from shared_lib.processes import VARIABLES, Role, Secret

_DATABASE: Final = frozenset({"admin.env", *(env_file(role) for role in Role)})
# The broker of this cluster asks for no password. The Secret still exists, because processes refer to it.
_EMPTY: Final = {"kafka": dict.fromkeys(VARIABLES[Secret.KAFKA], "")}


def secrets() -> list[Object]:
    """One Secret for each kind, with the same values each time."""
    held, _ = keep(FOLDER)
    kinds = {_name(file): variables for file, variables in values(held).items()}
    kinds |= _EMPTY | {"redis-acl": {"boxoffice.acl": redis_acl(held)}}
    return [_secret(name, data) for name, data in kinds.items()]


def _name(file: str) -> str:
    """door.env -> database-door; provider.env -> provider."""
    kind = file.removesuffix(".env")
    return f"database-{kind}" if file in _DATABASE else kind


def _secret(name: str, data: Mapping[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/part-of": "boxoffice"},
        },
        "type": "Opaque",
        # Not stringData: the apiserver does not return it, so every comparison would find a difference.
        "data": {key: b64encode(value.encode()).decode() for key, value in data.items()},
    }
