"""Database roles on a machine of one's own: their passwords follow from the administrator's url.

Every stack and test session on one server derives the same passwords, so none locks another out.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from shared_lib.processes import Role
from shared_lib.store.access.roles import as_role, make_roles


def role_password(admin_url: str, role: Role) -> str:
    """The administrator may act as any role in any case. One role's password reveals no other."""
    secret = (urlsplit(admin_url).password or "").encode()
    return hmac.new(b"boxoffice roles " + secret, role.encode(), hashlib.sha256).hexdigest()[:40]


def role_passwords(admin_url: str) -> dict[Role, str]:
    return {role: role_password(admin_url, role) for role in Role}


def role_url(admin_url: str, role: Role) -> str:
    """The database of `admin_url` under a role."""
    return as_role(admin_url, role, role_password(admin_url, role))


def prepare(admin_url: str) -> None:
    """Roles, schema and privileges, as a deployment makes them; the operator may move the test clock."""
    from shared_lib.store.migrate import upgrade  # noqa: PLC0415  # imports the ORM, which nothing else here needs

    make_roles(admin_url, role_passwords(admin_url))
    upgrade(role_url(admin_url, Role.OWNER), test_clock=True)
