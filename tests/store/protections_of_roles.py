"""What keeps each database role to its part, to be removed by `python -m tests.crash.mutations P`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

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
    Mutation(
        "P",
        "a process starts without a secret it needs",
        "tests/local/test_secrets.py::test_a_process_without_a_secret_it_needs_ends_at_its_start_and_says_which",
        (
            Edit(
                "shared_lib/settings.py",
                "if missing := lacking(process, os.environ, own.providers):",
                "if missing := lacking('', os.environ, own.providers):",
            ),
        ),
    ),
    Mutation(
        "P",
        "a process of the local stack is given every secret",
        "tests/local/test_secrets.py::test_each_process_of_the_local_stack_holds_exactly_the_secrets_on_its_list",
        (
            Edit(
                "infra/local/stack.py",
                "return self._settings() | database | held",
                "return self._settings() | database | held | secrets",
            ),
        ),
    ),
    Mutation(
        "P",
        "Redis allows every command to a client with the password",
        "tests/local/test_secrets.py::test_what_boxoffice_asks_of_redis_is_all_it_may_do_there",
        (Edit("infra/servers/redis_access.py", 'digest, KEYS, "-@all"', 'digest, "~*", "+@all"'),),
    ),
    Mutation(
        "P",
        "behind a pooler a door waits without end",
        "tests/store/test_roles.py::test_a_door_behind_a_pooler_waits_no_longer_than_one_before_it",
        (
            Edit(
                "shared_lib/store/access/roles.sql",
                "IF current_setting(bounds[place], true) IS NOT NULL THEN",
                "IF false THEN",
            ),
        ),
    ),
    Mutation(
        "P",
        "a function starts as a superuser in production",
        "tests/edge/test_production.py::test_a_door_does_not_start_as_a_role_that_may_change_the_ledger",
        (
            Edit(
                "shared_lib/queries/health.py",
                "'ledger_entries', 'UPDATE'",
                "'ledger_entries', 'UPDATE') AND (false",
            ),
        ),
    ),
    Mutation(
        "P",
        "Kafka is spoken to without proving who we are",
        "tests/kafka/test_guarded.py::test_topics_producers_and_consumers_prove_themselves",
        (
            Edit(
                "shared_lib/workers/kafka_client.py", 'if own.kafka_security.startswith("SASL"):', "if False:"
            ),
        ),
    ),
)
