"""What keeps each database role to its part, to be removed by `python -m tests.crash.mutations P`."""

from __future__ import annotations

from typing import Final

from tests.crash.protections import Edit, Mutation

ROLES: Final = "tests/store/test_roles.py::test_"
ACCESS: Final = "shared_lib/store/access/"
REFUSED: Final = f"{ROLES}an_attacker_with_the_password_of_a_role_is_refused"
PAGE: Final = f"{ROLES}every_table_role_and_privilege_is_what_the_page_says"

MUTATIONS: Final = (
    Mutation(
        "P",
        "the door may change the ledger",
        f"{REFUSED}[boxoffice_door]",
        (Edit(f"{ACCESS}grants.sql", "GRANT SELECT, INSERT ON ledger", "GRANT ALL ON ledger"),),
    ),
    Mutation(
        "P",
        "the relay may read customers",
        f"{REFUSED}[boxoffice_relay]",
        (
            Edit(
                f"{ACCESS}grants.sql",
                "GRANT INSERT ON dead_letters TO boxoffice_relay;",
                "GRANT INSERT ON dead_letters TO boxoffice_relay; GRANT SELECT ON customers TO boxoffice_relay;",
            ),
        ),
    ),
    Mutation(
        "P",
        "everyone may make temporary tables",
        f"{REFUSED}[boxoffice_support]",
        (
            Edit(
                f"{ACCESS}grants.sql",
                "EXECUTE format('REVOKE ALL ON DATABASE",
                "PERFORM format('REVOKE ALL ON DATABASE",
            ),
        ),
    ),
    Mutation(
        "P",
        "what was granted by hand stays",
        f"{ROLES}production_grants_nobody_the_test_clock",
        (
            Edit(
                f"{ACCESS}grants.sql",
                "REVOKE ALL ON ALL TABLES IN SCHEMA public",
                "REVOKE USAGE ON SCHEMA public",
            ),
        ),
    ),
    Mutation(
        "P",
        "a role keeps the power to become another",
        f"{ROLES}a_role_that_was_given_more_by_hand_loses_it_at_the_next_deployment",
        (
            Edit(
                f"{ACCESS}roles.sql",
                "EXECUTE change.command;\n        END LOOP;\n    END LOOP;",
                "NULL;\n        END LOOP;\n    END LOOP;",
            ),
        ),
    ),
    Mutation(
        "P",
        "the operator moves the test clock in production",
        f"{ROLES}production_grants_nobody_the_test_clock",
        (Edit(f"{ACCESS}grants.py", "if test_clock else []", "if True else []"),),
    ),
)
