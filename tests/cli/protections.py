"""What keeps the command line honest, to be removed by `python -m tests.crash.mutations N`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

NIGHT: Final = "tests/cli/test_night.py::test_"

MUTATIONS: Final = (
    Mutation(
        "N",
        "an operator waits for the schedule",
        f"{NIGHT}a_refund_after_20_days",
        (
            Edit(
                "shared_lib/billing/leasing.py",
                "not (request.early or refund.lease.is_due(case.now))",
                "not refund.lease.is_due(case.now)",
            ),
        ),
    ),
    Mutation(
        "N",
        "an operator's questions slow the schedule down",
        f"{NIGHT}the_provider_is_down",
        (Edit("shared_lib/billing/leasing.py", "lease.uncounted() if self.early else lease", "lease"),),
    ),
    Mutation(
        "N",
        "explain shows the stored end of access",
        f"{NIGHT}a_hard_decline",
        (Edit("shared_lib/cli/standing.py", "real = honored(stored, period_n, renewal)", "real = stored"),),
    ),
    Mutation(
        "N",
        "explain mixes mails of other orders",
        f"{NIGHT}a_mail_did_not_arrive",
        (
            Edit(
                "shared_lib/cli/history.py",
                "AND (data->>'order_id' = ANY(%(orders)s) OR",
                "AND (true OR data->>'order_id' = ANY(%(orders)s) OR",
            ),
        ),
    ),
    Mutation(
        "N",
        "a replay is not noted",
        f"{NIGHT}dead_letters_are_sent_again_or_dismissed_with_a_reason",
        (Edit("shared_lib/phases/outgoing.py", "tx.later(repairs.INSERT, want.repair.row(id_))", "pass"),),
    ),
    Mutation(
        "N",
        "access does not rest while a refund is on its way",
        f"{NIGHT}a_refund_after_20_days",
        (
            Edit(
                "shared_lib/cli/standing.py",
                "real.watchable_at(now) and not resting",
                "real.watchable_at(now)",
            ),
        ),
    ),
    Mutation(
        "N",
        "why a provider gave no answer is not kept",
        f"{NIGHT}why_a_provider_gave_no_answer_is_told_without_secrets",
        (Edit("shared_lib/store/failures.py", "if why is not None", "if why == ''"),),
    ),
)
