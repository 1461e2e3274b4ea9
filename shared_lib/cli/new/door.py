"""`boxoffice new door NAME`: a function with one call, in every place that a test compares with the table of routes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from shared_lib.cli.new.edits import Edits
from shared_lib.cli.terminal import CannotError
from shared_lib.contract.routes import DOORS, ROUTES

_REPLICAS = re.compile(r"and (\d+) replicas at most")  # of all doors together

_PRIVATE = """\
    # Exactly this value; any other makes the door public.
    networking.knative.dev/visibility: cluster-local
"""
_EVENTS = "            - secretRef: { name: events }\n"

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True)
class NewDoor:
    """`gift_cards` answers GET /v1/gift-cards. Raises CannotError for a name that cannot be a function's or is taken."""

    name: str
    takes_events: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise CannotError(f"{self.name!r} cannot name a door: use small letters, digits and underscores.")
        if self.name in DOORS:
            raise CannotError(f"The door {self.name} exists already.")
        if self.service in {route.place for route in ROUTES}:
            raise CannotError(f"/v1/{self.service} belongs to another door.")

    @property
    def service(self) -> str:
        """What platforms call it, and its place under /v1."""
        return self.name.replace("_", "-")

    @property
    def path(self) -> str:
        return f"/v1/{self.service}"

    @property
    def view(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def route(self) -> str:
        return f"SHOW_{self.name.upper()}"

    @property
    def says(self) -> str:
        return f"GET {self.path}."

    def edit(self, root: Path) -> list[str]:
        """Write it into the tree. Returns the changed paths. Raises CannotError, and writes nothing, when a place is not found."""
        edits = Edits(root)
        self._function(edits)
        self._contract(edits)
        self._platforms(edits)
        self._pages(edits)
        self._tests(edits)
        return edits.write()

    def _function(self, edits: Edits) -> None:
        edits.create(f"functions/{self.name}/__init__.py", "")
        edits.create(
            f"functions/{self.name}/main.py",
            f'''"""GET {self.path}: what the customer has of it. Not written yet: it answers an empty list."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from shared_lib.contract import routes
from shared_lib.contract.views import {self.view}
from shared_lib.web import framework
from shared_lib.web.dispatch import Calls, dispatch
from shared_lib.web.gated import gated
from shared_lib.web.http import Reply, authenticated, endpoint


@framework.http
@gated
@endpoint
async def {self.name}(request: Request) -> Reply:
    return await dispatch(request, CALLS)


async def show(request: Request) -> Reply:
    await authenticated(request)
    return Reply(200, {self.view}(items=[]))


CALLS: Final[Calls] = {{routes.{self.route}: show}}
''',
        )

    def _contract(self, edits: Edits) -> None:
        routes, operations = "shared_lib/contract/routes.py", "shared_lib/contract/operations.py"
        edits.before(
            routes,
            "# The provider's signature stands for a token.",
            f'{self.route}: Final = Route(door="{self.name}", method="GET", path="{self.path}")\n',
        )
        edits.before(routes, "    TAKE_WEBHOOK,", f"    {self.route},\n")
        edits.after(operations, "from shared_lib.contract.views import (", f"    {self.view},\n")
        operation = f"""    Operation(
        route=routes.{self.route},
        summary="List {self.name.replace("_", " ")}",
        answers={{200: ({self.view}, "What the customer has.")}},
    ),
    Operation(
        route=routes.TAKE_WEBHOOK,
"""
        edits.replace(operations, "    Operation(\n        route=routes.TAKE_WEBHOOK,\n", operation)
        edits.before(
            "shared_lib/contract/views.py",
            "def money_view(",
            f'class {self.view}(View, kw_only=True):\n    """The answer to GET {self.path}."""\n\n    items: list[str]\n\n\n',
        )
        edits.before(
            "shared_lib/processes.py",
            '        "relay": _needs(',
            f'        "{self.name}": _needs(Role.DOOR),\n',
        )

    def _platforms(self, edits: Edits) -> None:
        edits.before(
            "docker-compose.yml",
            "  # ---- workers ----",
            f"""  {self.service}:
    <<: *door
    environment: {{ <<: *settings, FUNCTION: {self.name} }}
    env_file: [.local/compose/door.env{", .local/compose/events.env" if self.takes_events else ""}]

""",
        )
        edits.append(
            "infra/openfaas/stack.yaml",
            f"""
  {self.service}:
    <<: *door
    environment: {{ <<: *settings, FUNCTION: {self.name} }}
    labels: *one
    secrets: [boxoffice-database-url{", boxoffice-event-secrets" if self.takes_events else ""}]
""",
        )
        edits.count_up("infra/openfaas/stack.yaml", _REPLICAS)
        edits.create(
            f"k8s/base/doors/{self.service}.yaml",
            f"""# {self.says}
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: {self.service}
  labels:
{_PRIVATE if self.takes_events else ""}    app.kubernetes.io/name: {self.service}
spec:
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {self.service}
      annotations:
        autoscaling.knative.dev/min-scale: "0"
        autoscaling.knative.dev/max-scale: "5"
    spec:
      serviceAccountName: {self.service}
      containers:
        - image: boxoffice
          env:
            - {{ name: FUNCTION, value: {self.name} }}
          envFrom:
            - secretRef: {{ name: database-door }}
{_EVENTS if self.takes_events else ""}""",
        )
        edits.before(
            "k8s/base/kustomization.yaml", "  - workers/relay.yaml", f"  - doors/{self.service}.yaml\n"
        )
        edits.append(
            "k8s/base/service-accounts.yaml",
            f"""---
apiVersion: v1
kind: ServiceAccount
metadata: {{ name: {self.service} }}
automountServiceAccountToken: false
""",
        )

    def _pages(self, edits: Edits) -> None:
        edits.after(
            "docs/architecture.md", "| `playback` | ", f"| `{self.name}` | GET {self.path} | - | - | - |\n"
        )
        edits.before("docs/roles.md", "| `relay` | ", f"| `{self.name}` | door | | | | | | | |\n")

    def _tests(self, edits: Edits) -> None:
        edits.after(
            "tests/doors/test_plain_framework.py",
            "CALLS: Final",
            f'    "{self.name}": ("GET", "{self.path}", None, 200, None),\n',
        )
        edits.after(
            "tests/events/senders.py",
            "ADDRESSED: Final",
            f'    "{self.name}": ("billing.order.paid", {{}}),\n',
        )
