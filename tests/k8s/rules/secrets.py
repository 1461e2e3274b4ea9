"""Each process is given its secrets and no others: shared_lib/processes.py is the list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared_lib.processes import DATABASE, PROCESSES, VARIABLES, Role, Secret
from shared_lib.store.access.__main__ import ADMIN_URL, password_setting
from tests.k8s.manifests import KIND, PRODUCTION, Manifests, Pod, at
from tests.k8s.rules.registry import fault, rule

ADMIN: Final = (ADMIN_URL, *(password_setting(role) for role in Role))
# What a Secret of each name carries. Those of stores and stand-ins exist on kind alone.
CARRIED: Final[Mapping[str, tuple[str, ...]]] = {
    **{secret.value: VARIABLES[secret] for secret in Secret},
    **{f"database-{role.removeprefix('boxoffice_')}": (DATABASE,) for role in Role},
    "database-admin": ADMIN,
    "postgres": ("POSTGRES_PASSWORD",),
    "sandbox": ("SANDBOX_API_KEY", "SANDBOX_WEBHOOK_SECRET"),
}
DATABASE_OF: Final = {f"database-{role.removeprefix('boxoffice_')}": role for role in Role}
# Processes that shared_lib/processes.py does not list, because our code does not ask them for it.
OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "roles": ("database-admin",),
    "postgres": ("postgres",),
    "sandbox": ("sandbox",),
    "catalog": ("database-operator",),
}
# Files instead of variables: an ACL with hashes, certificates that operators make.
MOUNTED: Final = {"redis": ("redis-acl",)}
# With `-ca` the Secret also holds the authority's key.
CERTIFICATES: Final = ("-cluster-ca-cert", "-ca")
CERTIFICATE: Final = "ca.crt"


def variables_of(pod: Pod) -> Iterator[tuple[str, str, str]]:
    """Secret, variable and key of everything secret that a pod is given as a variable. Variable and key are the same in a
    Secret that is taken whole.
    """
    for container in pod.containers:
        for source in container.get("envFrom") or []:
            if name := at(source, "secretRef", "name"):
                for variable in CARRIED.get(name, ("?",)):
                    yield name, f"{source.get('prefix', '')}{variable}", variable
        for one in container.get("env") or []:
            if key := at(one, "valueFrom", "secretKeyRef"):
                yield key["name"], one["name"], key["key"]


def _expected(pod: Pod, overlay: str) -> tuple[set[str], set[str]]:
    """The variables that a pod must be given, and those that it may be given as well."""
    if pod.process not in PROCESSES:
        return {name for secret in OTHERS.get(pod.process, ()) for name in CARRIED[secret]}, set()
    needs = PROCESSES[pod.process]
    optional = {Secret.KAFKA} if overlay == KIND else set()  # whose broker asks for no password
    if pod.process == "relay":
        optional |= {Secret.EVENT_SECRETS}  # it writes to Kafka
    must = {name for secret in needs.secrets - optional for name in VARIABLES[secret]}
    may = {name for secret in needs.secrets & optional for name in VARIABLES[secret]}
    return must | ({DATABASE} if needs.role else set()), may


@rule
def each_process_holds_the_secrets_on_its_list(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        held = list(variables_of(pod))
        for name, variable, _ in held:
            if variable == "?":
                yield f"{pod.name}: nothing is known of a Secret {name}"
        must, may = _expected(pod, manifests.overlay)
        given = {variable for _, variable, _ in held if variable != "?"}
        for variable in sorted(given - must - may):
            yield f"{pod.name} holds {variable}, which is not on its list"
        for variable in sorted(must - given):
            yield f"{pod.name} lacks {variable}"


@rule
def each_process_connects_under_its_role(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        wanted = PROCESSES[pod.process].role if pod.process in PROCESSES else None
        for name, variable, key in variables_of(pod):
            if variable == DATABASE and pod.process in PROCESSES and DATABASE_OF.get(name) is not wanted:
                yield f"{pod.name}: {DATABASE} is of Secret {name}, not of {wanted}"
            if name in CARRIED and key not in CARRIED[name]:
                yield f"{pod.name}: Secret {name} has no {key}"
            if name not in CARRIED and variable != "?":  # Strimzi's: of a user, with a password
                if name not in manifests.names("KafkaUser") or key != "password":
                    yield f"{pod.name}: nothing makes {key} of Secret {name}"
                elif name != f"kafka-{pod.process}":
                    yield f"{pod.name} is known to Kafka as {name}"


@rule
def secrets_are_mounted_where_files_are_needed(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        projected = [source for volume in pod.volumes for source in at(volume, "projected", "sources") or []]
        for volume in [*pod.volumes, *projected]:
            name = at(volume, "secret", "secretName") or at(volume, "secret", "name")
            known = name in MOUNTED.get(pod.process, ()) or str(name).endswith(CERTIFICATES)
            if name is not None and not known:
                yield f"{pod.name} mounts Secret {name}"
            items = [item["key"] for item in at(volume, "secret", "items") or []]
            if str(name).endswith(CERTIFICATES) and items != [CERTIFICATE]:
                yield f"{pod.name} mounts more of Secret {name} than {CERTIFICATE}"


@rule
def no_secret_is_written_down(manifests: Manifests) -> Iterator[str]:
    secret = {name for names in CARRIED.values() for name in names}
    for config in manifests.of("ConfigMap"):
        for name in sorted(secret & (config.get("data") or {}).keys()):
            yield f"ConfigMap {config['metadata']['name']} holds {name}"
    for pod in manifests.pods:
        for container in pod.containers:
            for one in container.get("env") or []:
                if one["name"] in secret and "value" in one:
                    yield f"{pod.name}: {one['name']} is written down"


def _sources(manifests: Manifests, process: str) -> Any:
    return manifests.pod(process).containers[0].setdefault("envFrom", [])


@fault(each_process_holds_the_secrets_on_its_list, "one too many", says="holds BOXOFFICE_SANDBOX_API_KEY")
def _(manifests: Manifests) -> None:
    _sources(manifests, "subscription").append({"secretRef": {"name": "provider"}})


@fault(
    each_process_holds_the_secrets_on_its_list, "one too few", says="lacks BOXOFFICE_SANDBOX_WEBHOOK_SECRETS"
)
def _(manifests: Manifests) -> None:
    sources = _sources(manifests, "webhook")
    sources[:] = [one for one in sources if at(one, "secretRef", "name") != "webhook"]


@fault(
    each_process_holds_the_secrets_on_its_list,
    "one nothing is known of",
    says="nothing is known of a Secret all",
)
def _(manifests: Manifests) -> None:
    _sources(manifests, "renew").append({"secretRef": {"name": "all"}})


@fault(each_process_holds_the_secrets_on_its_list, "one variable alone", says="holds BOXOFFICE_EVENT_SECRETS")
def _(manifests: Manifests) -> None:
    key = {"name": "events", "key": "BOXOFFICE_EVENT_SECRETS"}
    manifests.pod("gateway").containers[0]["env"] = [
        {"name": "BOXOFFICE_EVENT_SECRETS", "valueFrom": {"secretKeyRef": key}}
    ]


@fault(each_process_connects_under_its_role, "a door as the owner", says="is of Secret database-owner")
def _(manifests: Manifests) -> None:
    _sources(manifests, "account").append({"secretRef": {"name": "database-owner"}})


@fault(each_process_connects_under_its_role, "a key that is not there", says="has no BOXOFFICE_REDIS")
def _(manifests: Manifests) -> None:
    key = {"name": "redis", "key": "BOXOFFICE_REDIS"}
    manifests.pod("refund").containers[0]["env"].append(
        {"name": "BOXOFFICE_REDIS_URL", "valueFrom": {"secretKeyRef": key}}
    )


@fault(secrets_are_mounted_where_files_are_needed, "a secret as a file", says="mounts Secret database-owner")
def _(manifests: Manifests) -> None:
    manifests.pod("notify").spec["volumes"].append({"name": "s", "secret": {"secretName": "database-owner"}})


@fault(secrets_are_mounted_where_files_are_needed, "an authority with its key", says="than ca.crt")
def _(manifests: Manifests) -> None:
    manifests.pod("notify").spec["volumes"].append({"name": "s", "secret": {"secretName": "postgres-ca"}})


@fault(
    each_process_connects_under_its_role,
    "another one's user of Kafka",
    says="known to Kafka",
    only=PRODUCTION,
)
def _(manifests: Manifests) -> None:
    for one in manifests.pod("trigger").containers[0]["env"]:
        if "valueFrom" in one:
            one["valueFrom"]["secretKeyRef"]["name"] = "kafka-relay"


@fault(
    each_process_connects_under_its_role, "a user that is not there", says="nothing makes", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    manifests.objects.remove(manifests.one("KafkaUser", "kafka-relay"))


@fault(no_secret_is_written_down, "in a ConfigMap", says="holds BOXOFFICE_CARD_PEPPER")
def _(manifests: Manifests) -> None:
    manifests.some("ConfigMap")["data"]["BOXOFFICE_CARD_PEPPER"] = "pepper"


@fault(no_secret_is_written_down, "in a pod", says="BOXOFFICE_EVENT_SECRETS is written down")
def _(manifests: Manifests) -> None:
    variable = {"name": "BOXOFFICE_EVENT_SECRETS", "value": "whsec_abc"}
    manifests.pod("trigger").containers[0].setdefault("env", []).append(variable)
