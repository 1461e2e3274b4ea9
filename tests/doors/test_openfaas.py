"""infra/openfaas/stack.yaml fits the functions, the settings and the Community Edition; a door works behind its gateway."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # as in tests/compose

from infra.nginx.doors import service
from infra.openfaas.routes import routes
from shared_lib.contract.routes import DOORS, EVENTS_PATH
from shared_lib.events.proof import EventSigner
from shared_lib.processes import VARIABLES, variables_of
from shared_lib.runtime import CLOSE_S
from shared_lib.settings import Settings
from shared_lib.workers.http_sink import HttpSink, to_doors
from shared_lib.workers.relay import Relay
from shared_lib.workers.trigger.wire import Wire
from tests.doors.faas_gateway import faas_gateway
from tests.doors.running import door_process
from tests.kit.answers import assert_problem
from tests.kit.cinema import EVENT_SECRET, RETURN_URL, Cinema
from tests.kit.waiting import PATIENCE_S, until

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "infra/openfaas/stack.yaml"
PAGE: Final = (ROOT / "docs/openfaas.md").read_text()
GIVEN: Final = {
    "BOXOFFICE_IMAGE": "example/boxoffice:1",
    "BOXOFFICE_ENVIRONMENT": "local",
    "BOXOFFICE_AUTH_JWKS_URL": "https://auth.cinema.example/keys",
    "BOXOFFICE_AUTH_ISSUER": "https://auth.cinema.example",
    "BOXOFFICE_PROVIDERS": "sandbox",
    "BOXOFFICE_DEFAULT_PROVIDER": "sandbox",
    "BOXOFFICE_SANDBOX_URL": "http://sandbox:8080",
    "BOXOFFICE_PUBLIC_URL": "https://cinema.example",
    "BOXOFFICE_RETURN_URL_ORIGINS": "https://cinema.example",
    "BOXOFFICE_MAIL_FROM": "Boxoffice <tickets@cinema.example>",
    "BOXOFFICE_CINEMA_NAME": "Kino",
    "BOXOFFICE_CINEMA_ACCOUNT_URL": "https://cinema.example/account",
    "BOXOFFICE_CINEMA_SUPPORT_EMAIL": "help@cinema.example",
}
# Of the Community Edition (faas-netes: pkg/handlers/replica_reader.go, validate.go; Kubernetes' own grace period).
FUNCTIONS_MAX, REPLICAS_MAX, GRACE_S = 15, 5, 30
PAID_LABELS: Final = {"com.openfaas.scale.zero", "com.openfaas.scale.zero-duration", "com.openfaas.scale.target", "com.openfaas.scale.type"}  # fmt: skip
# What faas-cli's parser knows of a function (openfaas/go-sdk: stack/schema.go).
FIELDS: Final = {
    "lang", "handler", "image", "fprocess", "environment", "secrets", "skip_build", "constraints", "environment_file", "labels", "limits",
    "requests", "readonly_root_filesystem", "build_options", "annotations", "namespace", "build_args", "platforms", "build_secrets",
}  # fmt: skip


def substituted(text: str, given: dict[str, str]) -> str:
    """As faas-cli does before it reads the YAML."""
    return re.sub(r"\$\{([A-Z_]+)(?::-([^}]*))?\}", lambda it: given.get(it[1]) or it[2] or "", text)


STACK: Final[dict[str, Any]] = yaml.safe_load(substituted(FILE.read_text(), GIVEN))
FUNCTIONS: Final[dict[str, dict[str, Any]]] = STACK["functions"]


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)s", text)
    assert match, text
    return float(match[1])


def test_every_door_is_a_function_of_the_one_image() -> None:
    assert {name: one["environment"]["FUNCTION"] for name, one in FUNCTIONS.items()} == {
        service(door): door for door in DOORS
    }
    assert {one["image"] for one in FUNCTIONS.values()} == {GIVEN["BOXOFFICE_IMAGE"]}
    assert STACK["provider"]["name"] == "openfaas"
    assert STACK["version"] == "1.0"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_as_the_parser_and_the_community_edition_want_it(name: str) -> None:
    one = FUNCTIONS[name]
    assert one.keys() <= FIELDS
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert (one["skip_build"], one["readonly_root_filesystem"]) == (True, True)
    assert all(isinstance(value, str) for value in (one["environment"] | one["labels"]).values())
    assert not one["labels"].keys() & PAID_LABELS
    low, high = (int(one["labels"][f"com.openfaas.scale.{end}"]) for end in ("min", "max"))
    assert 1 <= low <= high <= REPLICAS_MAX
    assert re.fullmatch(r"\d+Mi", one["limits"]["memory"])
    assert re.fullmatch(r"\d+Mi", one["requests"]["memory"])
    assert "cpu" not in one["limits"]
    assert len(FUNCTIONS) <= FUNCTIONS_MAX


@pytest.mark.parametrize("door", DOORS)
def test_each_function_holds_the_secrets_on_its_list_as_files_and_none_as_a_variable(door: str) -> None:
    one = FUNCTIONS[service(door)]
    assert len(one["secrets"]) == len(set(one["secrets"]))
    assert set(one["secrets"]) == {name.lower().replace("_", "-") for name in variables_of(door)}
    assert one["environment"]["BOXOFFICE_SECRETS_DIR"] == "/var/openfaas/secrets"
    secret = {name for names in VARIABLES.values() for name in names} | set(variables_of(door))
    assert not one["environment"].keys() & secret


def test_what_must_be_said_by_the_caller_is_named_on_the_page_and_nothing_else_is_substituted() -> None:
    text = FILE.read_text()
    asked = re.findall(r"\$\{([A-Z_]+)(:-[^}]+)?\}", text)
    assert len(asked) == text.count("$")
    optional = {
        "BOXOFFICE_SANDBOX_URL",
        "BOXOFFICE_SES_ENDPOINT_URL",
    }  # where there is a sandbox, or no SES of AWS
    assert {name for name, default in asked if not default} - optional == {
        name for name in re.findall(r"(BOXOFFICE_[A-Z_]+)=\.\.\.", PAGE) if name in text
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_settings_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = FUNCTIONS[name]["environment"]
    ours = {key: value for key, value in given.items() if key.startswith("BOXOFFICE_")}
    assert ours.keys() <= {f"BOXOFFICE_{field.upper()}" for field in Settings.model_fields}
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    own = Settings()
    assert own.page_to_return_to("https://cinema.example/thanks")
    assert (
        yaml.safe_load(substituted(FILE.read_text(), {}))["functions"][name]["environment"][
            "BOXOFFICE_ENVIRONMENT"
        ]
        == "production"
    )


def test_time_enough_is_left_for_calls_and_for_the_end() -> None:
    conf = (ROOT / "infra/nginx/nginx.conf").read_text()
    longest = seconds(re.findall(r"proxy_read_timeout (\d+s);", conf)[0])
    for one in FUNCTIONS.values():
        env = one["environment"]
        stopping = float(env["BOXOFFICE_DRAIN_S"]) + float(env["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"]) + CLOSE_S
        assert stopping <= GRACE_S
        assert (
            longest
            <= seconds(env["exec_timeout"])
            < seconds(env["read_timeout"])
            == seconds(env["write_timeout"])
        )
    bounds = {name: seconds(value) for name, value in re.findall(r"--set (\w+\.\w+Timeout)=(\d+s)", PAGE)}
    assert (
        longest
        < bounds["gateway.upstreamTimeout"]
        < min(
            bounds[f"{part}.{end}Timeout"] for part in ("gateway", "faasnetes") for end in ("read", "write")
        )
    )


def test_connections_of_all_replicas_fit_into_postgres() -> None:
    replicas = {name: int(one["labels"]["com.openfaas.scale.max"]) for name, one in FUNCTIONS.items()}
    pools = {name: int(one["environment"]["BOXOFFICE_WRITERS"]) + int(one["environment"]["BOXOFFICE_READERS"])
             for name, one in FUNCTIONS.items()}  # fmt: skip
    relay, session, migration, people, kept_back = 8, 1, 1, 5, 3
    needed = (
        sum(replicas[name] * pools[name] for name in FUNCTIONS)
        + relay
        + session
        + migration
        + people
        + kept_back
    )
    assert needed <= 100
    assert f"and {sum(replicas.values())} replicas at most" in FILE.read_text()


async def test_the_functions_work_behind_the_gateway(cinema: Cinema) -> None:
    """One order over the gateway, from the call to the receipt; events are delivered over it too, and proven."""
    settings = cinema.rt.settings
    async with AsyncExitStack() as stack:
        doors = [
            await stack.enter_async_context(door_process(settings, door))
            for door in ("create_order", "notify", "reconcile")
        ]
        for door in doors:
            await until(door.ready)
        names = ("create-order", "notify", "reconcile")
        at = await stack.enter_async_context(
            faas_gateway({name: door.url for name, door in zip(names, doors, strict=True)})
        )

        calling = replace(cinema, url=f"{at}/function/create-order")
        answer = await calling.call(
            "POST", "/v1/orders", {"price_id": "prc_metropolis_buy", "return_url": RETURN_URL}
        )
        assert answer.status_code == 201, answer.text
        again = await calling.call("POST", "/v1/orders", {"price_id": "nothing", "return_url": RETURN_URL})
        assert again.status_code in (404, 422)
        assert again.headers["content-type"] == "application/problem+json"
        for path in ("/livez", "/readyz", "/_/health", "/_/ready"):
            assert (await cinema.http.get(f"{at}/function/notify{path}")).status_code == 200

        await cinema.pay(answer.json()["checkout_url"])
        await cinema.until(f"/v1/orders/{answer.json()['id']}", status="paid")
        async with to_doors() as http:
            sink = HttpSink(http, routes(at), EventSigner([EVENT_SECRET], cinema.rt.now))
            await replace(cinema, relay=Relay(cinema.relay_rt, sink)).drain()
        assert cinema.value("SELECT count(*) FROM notifications WHERE status = 'sent'") == 1
        assert cinema.value("SELECT count(*) FROM dead_letters") == 0

        unproven = {
            "ce-id": "evt_1",
            "ce-type": "billing.tick.reconcile",
            "ce-source": "/x",
            "ce-specversion": "1.0",
        }
        for name in names:
            refused = await cinema.http.post(
                f"{at}/function/{name}{EVENTS_PATH}", headers=unproven, content=b"{}"
            )
            assert_problem(refused, "event_unproven")
        assert (await cinema.http.get(f"{at}/function/nothing/v1")).status_code == 404
        wire = Wire(routes(at)["billing.tick.reconcile"] + EVENTS_PATH, 1)  # the trigger's
        raw = [(name.encode(), value.encode()) for name, value in unproven.items()]
        signed = EventSigner([EVENT_SECRET], cinema.rt.now).pairs(raw, b"{}", "evt_1")
        try:
            for proof, status in (([], 401), (signed, 200)):
                assert (await wire.post([*raw, *proof], b"{}", PATIENCE_S))[0] == status
        finally:
            await wire.aclose()
