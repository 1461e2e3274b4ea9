"""What keeps the trigger honest, to be removed by `python -m tests.crash.mutations T`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

PARTITIONS: Final = "tests/trigger/test_partitions.py::test_"
EVENTS: Final = "tests/trigger/test_events.py::test_"
WORKERS: Final = "shared_lib/workers/trigger/"

MUTATIONS: Final = (
    Mutation(
        "T",
        "a KafkaSource's letter goes back without its customer's key",
        "tests/trigger/test_looking.py::test_letters_of_a_kafkasource_go_back_to_their_topic_under_their_customer",
        (Edit(f"{WORKERS}letters.py", "return customer.encode() if", "return None if"),),
    ),
    Mutation(
        "T",
        "a KafkaSource's second letter is taken for the first",
        "tests/trigger/test_looking.py::test_a_kafkasource_that_fails_again_is_seen_again",
        (Edit(f"{WORKERS}letters.py", 'return "", "", str(self.offset)', 'return "", "", ""'),),
    ),
    Mutation(
        "T",
        "a commit passes records that are not done",
        f"{PARTITIONS}what_is_not_done_is_not_committed_although_later_records_are",
        (
            Edit(
                f"{WORKERS}tracker.py",
                "return self._open[0] if self._open else self._next",
                "return self._next",
            ),
        ),
    ),
    Mutation(
        "T",
        "records of a customer are delivered side by side",
        f"{EVENTS}not_now_is_asked_again_and_the_next_event_of_the_customer_waits[503]",
        (
            Edit(
                f"{WORKERS}partitions.py",
                "lane = self._lanes.get(record.key)",
                "record = record._replace(key=b'%d' % record.offset)\n        lane = None",
            ),
        ),
    ),
    Mutation(
        "T",
        "a dead letter that cannot be written is given up",
        f"{EVENTS}a_letter_that_cannot_be_written_holds_its_lane_and_the_commit",
        (Edit(f"{WORKERS}trigger.py", "await pause(revoked, held_s)", "break"),),
    ),
    Mutation(
        "T",
        "a partition goes without waiting for its requests",
        f"{PARTITIONS}partitions_that_move_take_nothing_along_that_was_done",
        (Edit(f"{WORKERS}partitions.py", "await asyncio.wait(self._tasks, timeout=within_s)", "pass"),),
    ),
    Mutation(
        "T",
        "a lane that died is not noticed",
        "tests/trigger/test_lanes.py::test_a_lane_that_dies_ends_the_trigger_and_the_next_one_delivers_its_records",
        (Edit(f"{WORKERS}trigger.py", "self._dead_lane = error", "pass"),),
    ),
    Mutation(
        "T",
        "a reason that no header can carry holds its lane",
        "tests/trigger/test_lanes.py::test_an_event_whose_type_no_header_can_carry_is_a_dead_letter_and_holds_no_lane",
        (Edit(f"{WORKERS}letters.py", 'errors="backslashreplace"', ""),),
    ),
    Mutation(
        "T",
        "a rejoin that outlives its poll is left to kafka-python",
        f"{PARTITIONS}a_join_that_outlives_its_poll_is_finished[0.001]",
        (Edit(f"{WORKERS}member.py", "if not found and self", "if not found and False and self"),),
    ),
)
