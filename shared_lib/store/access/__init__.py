"""Who may do what in the database: five roles (roles.sql) and their privileges (grants.sql). docs/roles.md has the table.

    python -m shared_lib.store.access        make the roles; reads BOXOFFICE_ADMIN_DATABASE_URL and passwords

Migrations run as the owner and apply the grants again (shared_lib.store.migrate). A table that grants.sql does not name is
closed to everyone but its owner.
"""

from __future__ import annotations

from shared_lib.store.access.grants import MissingRolesError, apply_grants
from shared_lib.store.access.roles import as_role, make_roles

__all__ = ["MissingRolesError", "apply_grants", "as_role", "make_roles"]
