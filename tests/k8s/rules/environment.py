"""Settings that pods are given: each exists, together they start their process, and each address in them leads somewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from shared_lib.processes import DATABASE, PROCESSES, lacking
from shared_lib.settings import Settings, WrongSettingsError, read_settings
from tests.k8s.manifests import KIND, NAMESPACE, PRODUCTION, Manifests, at, name_of
from tests.k8s.rules.registry import fault, rule
from tests.k8s.rules.secrets import ADMIN, variables_of

PREFIX: Final = "BOXOFFICE_"
KNOWN: Final = frozenset(f"{PREFIX}{name.upper()}" for name in Settings.model_fields) | {*ADMIN}
# What is no setting of ours, and read all the same.
FOREIGN: Final = frozenset(
    (
        "AWS_EC2_METADATA_DISABLED",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "FUNCTION",
        "PGSSLMODE",
        "PGSSLROOTCERT",
    )
)
OURS: Final = frozenset(PROCESSES) | {"roles", "catalog"}
_A_SECRET: Final = "x" * 32
_VALUES: Final = {
    DATABASE: "postgresql://boxoffice_door:x@postgres:5432/boxoffice",
    f"{PREFIX}REDIS_URL": "redis://boxoffice:x@redis:6379/0",
}


@rule
def every_setting_exists(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        if pod.process not in OURS:
            continue
        for container in pod.containers:
            for name in sorted(manifests.environment(container)):
                if name not in KNOWN | FOREIGN:
                    yield f"{pod.name}: {name} is no setting"


@rule
def settings_fit_together(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        if pod.process not in PROCESSES:
            continue
        secret = {variable: _VALUES.get(variable, _A_SECRET) for _, variable, _ in variables_of(pod)}
        given = manifests.environment(pod.containers[-1]) | secret
        with _environment(given):
            try:
                own = read_settings()
            except WrongSettingsError as error:
                yield f"{pod.name} would not start: {error}"
                continue
        for name in lacking(pod.process, given, own.providers):
            yield f"{pod.name} would not start without {name}"


@rule
def each_cluster_says_what_it_is(manifests: Manifests) -> Iterator[str]:
    wanted = {KIND: "local", PRODUCTION: "production"}.get(manifests.overlay)
    for pod in manifests.pods:
        if pod.process in PROCESSES:
            said = manifests.environment(pod.containers[-1]).get(f"{PREFIX}ENVIRONMENT")
            if said != wanted:
                yield f"{pod.name}: {PREFIX}ENVIRONMENT is {said}, not {wanted}"


@rule
def a_trigger_without_a_name_may_be_several(manifests: Manifests) -> Iterator[str]:
    """Two members of one static name drive each other out of the group."""
    for pod in manifests.pods:
        name = f"{PREFIX}TRIGGER_INSTANCE"
        if pod.process == "trigger" and name in manifests.environment(pod.containers[-1]):
            yield f"{pod.name}: each of its pods would be {name}"


@rule
def files_that_settings_name_are_mounted(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        needs = PROCESSES.get(pod.process)
        for container in pod.containers:
            mounts = [mount["mountPath"] for mount in container.get("volumeMounts") or []]
            given = manifests.environment(container)
            for name in ("PGSSLROOTCERT", f"{PREFIX}KAFKA_CA_FILE"):
                used = name in given and (name != "PGSSLROOTCERT" or needs is None or needs.role is not None)
                if used and not any(given[name].startswith(f"{mount}/") for mount in mounts):
                    yield f"{pod.name}: {name} names {given[name]}, which is not mounted"


@contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    """With these variables and no others of ours."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith((PREFIX, "AWS_"))]:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_URL: Final = re.compile(
    rf"(?:https?|redis|rediss|postgresql|postgres)://(?:[^@/\s]*@)?({_LABEL}(?:\.{_LABEL})*)(?::(\d+))?"
)
_SVC: Final = re.compile(rf"\b({_LABEL}(?:\.{_LABEL})*\.svc(?:\.cluster\.local)?)\b(?::(\d+))?")
_PAIR: Final = re.compile(rf"(?<![\w.@/-])({_LABEL}(?:\.{_LABEL})*):(\d{{2,5}})(?![\w.])")
# Of other namespaces, whose objects are not ours.
ELSEWHERE: Final = frozenset(("kube-dns.kube-system", "kubernetes.default"))


def addresses(manifests: Manifests) -> Iterator[tuple[str, str, int | None]]:
    """Where it stands, host and port of each address inside the cluster that settings and files mention."""
    for pod in manifests.pods:
        for container in pod.containers:
            for name, value in manifests.environment(container).items():
                patterns = (_URL, _SVC, *((_PAIR,) if name.endswith("_BOOTSTRAP") else ()))
                for host, port in _found(value, *patterns):
                    yield f"{pod.name}, {name}", host, port
            for word in [*(container.get("command") or []), *(container.get("args") or [])]:
                for host, port in _found(str(word), _URL, _SVC):
                    yield f"{pod.name}, command", host, port
    for config in manifests.of("ConfigMap"):
        for file, text in (config.get("data") or {}).items():
            if not file.isupper():
                plain = re.sub(r"\$\w+\.", "", text)  # NGINX puts a door's name there
                plain = re.sub(rf"\b{NAMESPACE}\.svc\.cluster\.local", "", plain)
                for host, port in _found(plain, _SVC):
                    yield f"{name_of(config)}, {file}", host, port
    for thing in manifests.of("KafkaSource", "KafkaSink"):
        for server in at(thing, "spec", "bootstrapServers") or []:
            for host, port in _found(server, _PAIR):
                yield f"{name_of(thing)}, bootstrapServers", host, port


def _found(text: str, *patterns: re.Pattern[str]) -> Iterator[tuple[str, int | None]]:
    for pattern in patterns:
        for host, port in pattern.findall(text):
            yield host, int(port) if port else None


def services(manifests: Manifests) -> dict[str, set[int]]:
    """Each name that cluster DNS knows in our namespace, and its ports: of Services, doors, and what operators make."""
    known = {
        one["metadata"]["name"]: {port["port"] for port in at(one, "spec", "ports") or []}
        for one in manifests.of("Service")
    }
    known |= {name: {80} for name in manifests.names("Door")}
    for kafka in manifests.of("Kafka"):
        ports = {listener["port"] for listener in at(kafka, "spec", "kafka", "listeners") or []}
        known[f"{kafka['metadata']['name']}-kafka-bootstrap"] = ports
    for cluster in manifests.names("Cluster"):
        known |= {f"{cluster}-{end}": {5432} for end in ("rw", "ro", "r")}
    known |= {name: {5432} for name in manifests.names("Pooler")}
    for stateful in manifests.of("StatefulSet"):
        headless = stateful["spec"].get("serviceName")
        for index in range(stateful["spec"].get("replicas", 1)):
            name = f"{stateful['metadata']['name']}-{index}.{headless}"
            known[name] = known.get(headless, set()) if headless else set()
    return known


@rule
def addresses_inside_the_cluster_exist(manifests: Manifests) -> Iterator[str]:
    known = services(manifests)
    for where, host, port in addresses(manifests):
        inner = re.sub(r"\.svc(\.cluster\.local)?$", "", host)
        if inner == host and "." in host and not host.endswith(f".{NAMESPACE}"):
            continue  # of the world
        if inner in ELSEWHERE or host == "localhost":
            continue
        name = inner.removesuffix(f".{NAMESPACE}")
        ports = known.get(name)
        if ports is None:
            yield f"{where}: there is no {host}"
        elif ports and (port or 80) not in ports:
            yield f"{where}: {host} has no port {port or 80}"


def _config(manifests: Manifests, variable: str) -> dict[str, str]:
    for config in manifests.of("ConfigMap"):
        if variable in (config.get("data") or {}):
            found: dict[str, str] = config["data"]
            return found
    raise LookupError(variable)


@fault(every_setting_exists, "a typo", says="BOXOFFICE_AUTH_ISUER is no setting")
def _(manifests: Manifests) -> None:
    _config(manifests, "BOXOFFICE_AUTH_ISSUER")["BOXOFFICE_AUTH_ISUER"] = "https://auth.cinema.example"


@fault(every_setting_exists, "a typo in a pod", says="BOXOFFICE_WRITTERS is no setting")
def _(manifests: Manifests) -> None:
    manifests.pod("renew").containers[0]["env"].append({"name": "BOXOFFICE_WRITTERS", "value": "4"})


@fault(settings_fit_together, "a provider that is not there", says="default_provider")
def _(manifests: Manifests) -> None:
    _config(manifests, "BOXOFFICE_AUTH_ISSUER")["BOXOFFICE_DEFAULT_PROVIDER"] = "nowhere"


@fault(settings_fit_together, "too many writers", says="BOXOFFICE_WRITERS")
def _(manifests: Manifests) -> None:
    _config(manifests, "BOXOFFICE_WRITERS")["BOXOFFICE_WRITERS"] = "64"


@fault(settings_fit_together, "no database", says="would not start without BOXOFFICE_DATABASE_URL")
def _(manifests: Manifests) -> None:
    sources = manifests.pod("account").containers[0]["envFrom"]
    sources[:] = [one for one in sources if not str(at(one, "secretRef", "name")).startswith("database")]


@fault(each_cluster_says_what_it_is, "a test", says="BOXOFFICE_ENVIRONMENT is test")
def _(manifests: Manifests) -> None:
    _config(manifests, "BOXOFFICE_ENVIRONMENT")["BOXOFFICE_ENVIRONMENT"] = "test"


@fault(a_trigger_without_a_name_may_be_several, "one name for all", says="BOXOFFICE_TRIGGER_INSTANCE")
def _(manifests: Manifests) -> None:
    _config(manifests, "BOXOFFICE_WRITERS")["BOXOFFICE_TRIGGER_INSTANCE"] = "trigger-1"


@fault(files_that_settings_name_are_mounted, "a certificate that is not there", says="which is not mounted")
def _(manifests: Manifests) -> None:
    container = manifests.pod("relay").containers[-1]
    container.setdefault("env", []).append({"name": "PGSSLROOTCERT", "value": "/etc/authority/ca.crt"})


@fault(addresses_inside_the_cluster_exist, "a broker that is not there", says="there is no kafka-2")
def _(manifests: Manifests) -> None:
    _config(manifests, "BOXOFFICE_KAFKA_BOOTSTRAP")["BOXOFFICE_KAFKA_BOOTSTRAP"] = "kafka-2:9092"


@fault(addresses_inside_the_cluster_exist, "another port", says="has no port 9999")
def _(manifests: Manifests) -> None:
    config = _config(manifests, "BOXOFFICE_KAFKA_BOOTSTRAP")
    config["BOXOFFICE_KAFKA_BOOTSTRAP"] = re.sub(r":\d+", ":9999", config["BOXOFFICE_KAFKA_BOOTSTRAP"])


@fault(addresses_inside_the_cluster_exist, "a door that is not there", says="there is no renws.boxoffice.svc")
def _(manifests: Manifests) -> None:
    config = _config(manifests, "BOXOFFICE_EVENT_ROUTES")
    config["BOXOFFICE_EVENT_ROUTES"] = config["BOXOFFICE_EVENT_ROUTES"].replace("//renew.", "//renws.")


@fault(
    addresses_inside_the_cluster_exist,
    "NGINX asks another server for names",
    says="there is no dns.kube-system",
)
def _(manifests: Manifests) -> None:
    config = next(one for one in manifests.of("ConfigMap") if "nginx.conf" in one["data"])
    config["data"]["nginx.conf"] = config["data"]["nginx.conf"].replace(
        "kube-dns.kube-system", "dns.kube-system"
    )
