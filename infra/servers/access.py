"""Database roles on a developer's machine: their passwords are derived from the administrator's url.

All stacks and test sessions on one server derive the same passwords, so none locks another out.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from shared_lib.processes import Role
from shared_lib.store.access.roles import as_role, make_roles


def role_password(admin_url: str, role: Role) -> str:
    """A role's password. It reveals no other role's, nor the administrator's."""
    secret = (urlsplit(admin_url).password or "").encode()
    return hmac.new(b"boxoffice roles " + secret, role.encode(), hashlib.sha256).hexdigest()[:40]


def role_passwords(admin_url: str) -> dict[Role, str]:
    return {role: role_password(admin_url, role) for role in Role}


def role_url(admin_url: str, role: Role) -> str:
    """The url of the same database for a role."""
    return as_role(admin_url, role, role_password(admin_url, role))


def prepare(admin_url: str) -> None:
    """Make roles, schema and privileges as a deployment does; the role operator may also move the test clock."""
    from shared_lib.store.migrate import upgrade  # noqa: PLC0415  # imports the ORM, which nothing else here needs

    make_roles(admin_url, role_passwords(admin_url))
    upgrade(role_url(admin_url, Role.OWNER), test_clock=True)
