"""`boxoffice new door NAME --job JOB`: a function that is woken by a job, in every place that a test compares with the tables of events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from shared_lib.billing.events import JobType
from shared_lib.cli.new.door import NewDoor
from shared_lib.cli.new.edits import Edits
from shared_lib.cli.terminal import CannotError

_JOB: Final = re.compile(r"[a-z]+(_[a-z]+)*")


@dataclass(frozen=True)
class NewEventDoor(NewDoor):
    """`expire_gifts` is the event billing.job.expire_gifts. Raises CannotError for a name that cannot be a job's or is taken."""

    job: str
    takes_events: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _JOB.fullmatch(self.job):
            raise CannotError(f"{self.job!r} cannot name a job: use small letters and underscores.")
        if self.type in set(JobType):
            raise CannotError(f"The job {self.type} exists already.")

    @property
    def type(self) -> str:
        return f"billing.job.{self.job}"

    @property
    def member(self) -> str:
        return self.job.upper()

    @property
    def says(self) -> str:
        return f"Takes {self.type}."

    def _function(self, edits: Edits) -> None:
        edits.create(f"functions/{self.name}/__init__.py", "")
        edits.create(
            f"functions/{self.name}/main.py",
            f'''"""CloudEvent {self.type}. Not written yet: it is taken, and nothing is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared_lib.billing.events import JobType
from shared_lib.events.delivered import consumer
from shared_lib.events.incoming import Consumer, Incoming, hand_over
from shared_lib.log import note
from shared_lib.web import framework
from shared_lib.web.gated import gated


@framework.http
@gated
@consumer
async def {self.name}(event: Incoming) -> None:
    await hand_over(event, EVENTS, "{self.name}")


async def take_job(_: Incoming) -> None:
    note({self.job}="not written yet")


EVENTS: Final[Mapping[str, Consumer]] = {{JobType.{self.member}: take_job}}
''',
        )

    def _contract(self, edits: Edits) -> None:
        routes = "shared_lib/contract/routes.py"
        edits.after(
            "shared_lib/billing/events.py", "    TELL_AUTO_RENEW = ", f'    {self.member} = "{self.type}"\n'
        )
        edits.before(
            "shared_lib/contract/events.py",
            "    Tick.RENEWAL: Work(",
            f'    JobType.{self.member}: Work("Not written yet.", NoData),\n',
        )
        edits.before(routes, "    Tick.RENEWAL: ", f'    JobType.{self.member}: "{self.name}",\n')
        edits.before(
            "shared_lib/processes.py",
            '        "relay": _needs(',
            f'        "{self.name}": _needs(Role.DOOR, Secret.EVENT_SECRETS),\n',
        )

    def _platforms(self, edits: Edits) -> None:
        super()._platforms(edits)
        edits.before(
            "docker-compose.yml",
            '    "billing.tick.renewal": ',
            f'    "{self.type}": "http://{self.service}:8080",\n',
        )
        renewal = '"billing.tick.renewal": "http://gateway.openfaas:8080/function/renew"'
        mine = f'"{self.type}": "http://gateway.openfaas:8080/function/{self.service}"'
        edits.replace("docs/openfaas.md", renewal, f"{mine}, {renewal}")

    def _pages(self, edits: Edits) -> None:
        edits.after(
            "docs/architecture.md", "| `playback` | ", f"| `{self.name}` | `{self.type}` | - | - | - |\n"
        )
        edits.before("docs/roles.md", "| `relay` | ", f"| `{self.name}` | door | | | | | | x | |\n")

    def _tests(self, edits: Edits) -> None:
        edits.after(
            "tests/doors/test_plain_framework.py",
            "EVENTS: Final",
            f'    "{self.name}": ("{self.type}", {{}}),\n',
        )
        edits.after(
            "tests/events/senders.py", "ADDRESSED: Final", f'    "{self.name}": ("{self.type}", {{}}),\n'
        )
        edits.replace("tests/events/senders.py", "TAKERS: Final = (", f'TAKERS: Final = ("{self.name}", ')
        edits.after("tests/edge/test_events_refused.py", "DOORS = {", f'    "{self.name}": "{self.type}",\n')
