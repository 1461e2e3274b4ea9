"""Ids are unique: in one process, in threads, and in a child that goes on where its parent was."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from shared_lib.ids import new_id


def test_an_id_is_a_prefix_and_a_ulid() -> None:
    assert re.fullmatch(r"ord_[0-9A-HJKMNP-TV-Z]{26}", new_id("ord"))


def test_no_two_ids_are_alike_however_many_threads_ask() -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [new_id("evt") for _ in range(2000)], range(16)))

    assert len({one for batch in batches for one in batch}) == 16 * 2000


def test_ids_made_later_sort_later() -> None:
    first = new_id("pay")
    while (later := new_id("pay"))[4:14] == first[4:14]:
        pass  # the same millisecond

    assert later > first


FORKING = """
import os
from shared_lib.ids import new_id

new_id("ord")  # some randomness is in store now
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, " ".join(new_id("ord") for _ in range(50)).encode())
    os._exit(0)
os.wait()
print(os.read(reading, 65_536).decode())
print(*(new_id("ord") for _ in range(300)))
"""


def test_a_child_does_not_go_on_with_its_parents_randomness() -> None:
    told = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True).stdout

    theirs, ours = ({one[-16:] for one in line.split()} for line in told.splitlines())

    assert (len(theirs), len(ours)) == (50, 300)
    assert not theirs & ours
