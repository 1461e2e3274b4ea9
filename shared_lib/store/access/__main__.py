"""`python -m shared_lib.store.access`: make the roles of Boxoffice, as an administrator of the database.

BOXOFFICE_ADMIN_DATABASE_URL names the database, BOXOFFICE_OWNER_PASSWORD, BOXOFFICE_DOOR_PASSWORD, BOXOFFICE_RELAY_PASSWORD,
BOXOFFICE_SUPPORT_PASSWORD and BOXOFFICE_OPERATOR_PASSWORD set passwords. A role without one keeps what it has.
"""

from __future__ import annotations

import os
import sys

from shared_lib.processes import Role
from shared_lib.store.access.roles import make_roles
from shared_lib.visible import say

ADMIN_URL = "BOXOFFICE_ADMIN_DATABASE_URL"


def password_setting(role: Role) -> str:
    return f"BOXOFFICE_{role.name}_PASSWORD"


def main() -> int:
    url = os.environ.get(ADMIN_URL)
    if not url:
        say(f"{ADMIN_URL} is not set: roles are made by an administrator of the database.", sys.stderr)
        return 2
    make_roles(url, {role: value for role in Role if (value := os.environ.get(password_setting(role)))})
    return 0


if __name__ == "__main__":
    sys.exit(main())
