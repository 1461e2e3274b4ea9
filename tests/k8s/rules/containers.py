"""What every pod template of ours holds: no rights it does not need, a bound on memory, an image that cannot change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared_lib.processes import PROCESSES
from tests.k8s.manifests import KIND, Manifests, Object, Pod, at, name_of
from tests.k8s.quantities import quantity
from tests.k8s.rules.registry import fault, rule

COMPONENTS: Final = frozenset(("door", "worker", "job", "gateway", "store", "neighbour", "visitor"))
TMP: Final = "/tmp"  # noqa: S108 - a folder of a container's own
# Its image writes its configuration from variables, each time it starts.
WRITES_TO_ITS_ROOT: Final = {KIND: ("kafka",)}
HOST: Final = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")


def containers_of(manifests: Manifests) -> Iterator[tuple[Pod, Object, str]]:
    for pod in manifests.pods:
        for container in pod.containers:
            yield pod, container, f"{pod.name}, container {container.get('name', 'user-container')}"


@rule
def containers_have_no_rights(manifests: Manifests) -> Iterator[str]:
    for pod, container, where in containers_of(manifests):
        own, shared = container.get("securityContext") or {}, pod.spec.get("securityContext") or {}
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{where} may gain privileges"
        if own.get("privileged"):
            yield f"{where} is privileged"
        if at(own, "capabilities", "drop") != ["ALL"] or at(own, "capabilities", "add"):
            yield f"{where} keeps capabilities"
        writes = pod.process in WRITES_TO_ITS_ROOT.get(manifests.overlay, ())
        if own.get("readOnlyRootFilesystem") is not True and not writes:
            yield f"{where} may write to its root"
        if (own | shared).get("runAsNonRoot") is not True or 0 in (
            own.get("runAsUser"),
            shared.get("runAsUser"),
        ):
            yield f"{where} may run as root"
        if own.get("runAsNonRoot") is False:
            yield f"{where} runs as root"
        profiles = [at(context, "seccompProfile", "type") for context in (own, shared)]
        if not {"RuntimeDefault", "Localhost"} & set(profiles) or "Unconfined" in profiles:
            yield f"{where} may make every system call"


@rule
def pods_stay_away_from_their_node(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        for field in HOST:
            if pod.spec.get(field):
                yield f"{pod.name}: {field}"
        for volume in pod.volumes:
            if "hostPath" in volume:
                yield f"{pod.name}: hostPath {volume['hostPath'].get('path')}"
        for container in pod.containers:
            if any("hostPort" in port for port in container.get("ports") or []):
                yield f"{pod.name}: hostPort"


@rule
def containers_are_bounded_in_memory_alone(manifests: Manifests) -> Iterator[str]:
    """A limit of CPU stops a process for parts of each tenth of a second, whether or not the node is busy."""
    for _, container, where in containers_of(manifests):
        asked, most = (at(container, "resources", part) or {} for part in ("requests", "limits"))
        if "cpu" in most:
            yield f"{where} has a limit of CPU"
        if "memory" not in most or not {"cpu", "memory"} <= asked.keys():
            yield f"{where} lacks a request of CPU and memory, or a limit of memory"
        needs, may = quantity(asked.get("memory", 0)), quantity(most.get("memory", 0))
        if needs is not None and may is not None and needs > may:
            yield f"{where} asks for more memory than it may use"


@rule
def pods_say_who_they_are(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods:
        name = pod.owner["metadata"]["name"]
        if pod.owner["kind"] == "CronJob":  # several may be of one process
            name = pod.process.replace("_", "-") if pod.process in PROCESSES else name
        if pod.process.replace("_", "-") != name:
            yield f"{pod.name}: app.kubernetes.io/name is {pod.process!r}"
        if pod.labels.get("app.kubernetes.io/part-of") != "boxoffice":
            yield f"{pod.name}: not labelled as part of boxoffice"
        component = pod.labels.get("app.kubernetes.io/component")
        if component not in COMPONENTS or (component == "door") != pod.door:
            yield f"{pod.name}: app.kubernetes.io/component is {component!r}"


@rule
def each_process_has_an_account_without_a_token(manifests: Manifests) -> Iterator[str]:
    accounts = {one["metadata"]["name"]: one for one in manifests.of("ServiceAccount")}
    for pod in manifests.pods:
        account = pod.spec.get("serviceAccountName")
        if account not in accounts:
            yield f"{pod.name}: there is no ServiceAccount {account}"
        elif account != pod.process.replace("_", "-"):
            yield f"{pod.name}: shares the ServiceAccount {account}"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: has a token for the apiserver"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: enableServiceLinks adds a variable for each Service of the namespace"
    for name, account in accounts.items():
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {name} hands out tokens"
    for binding in manifests.of("RoleBinding", "ClusterRoleBinding"):
        yield f"{name_of(binding)}: none of our processes asks the apiserver anything"


@rule
def our_image_may_write_to_tmp(manifests: Manifests) -> Iterator[str]:
    for pod, container, where in containers_of(manifests):
        mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts") or []}
        volumes = {volume["name"]: volume for volume in pod.volumes}
        claims = {at(one, "metadata", "name") for one in at(pod.owner, "spec", "volumeClaimTemplates") or []}
        for path, name in mounts.items():
            if name not in volumes and name not in claims:
                yield f"{where}: there is no volume {name} to mount at {path}"
        if "boxoffice" in str(container.get("image")) and "emptyDir" not in volumes.get(
            mounts.get(TMP, ""), {}
        ):
            yield f"{where}: no emptyDir at /tmp"
    for pod in manifests.pods:
        for volume in pod.volumes:
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{pod.name}: emptyDir {volume['name']} may fill the node"


def first(manifests: Manifests, process: str = "webhook") -> Any:
    return manifests.pod(process).containers[0]


@fault(containers_have_no_rights, "no securityContext", says="may gain privileges")
def _(manifests: Manifests) -> None:
    del first(manifests)["securityContext"]


@fault(containers_have_no_rights, "a root that can be written", says="write to its root")
def _(manifests: Manifests) -> None:
    first(manifests, "relay")["securityContext"]["readOnlyRootFilesystem"] = False


@fault(containers_have_no_rights, "a capability", says="keeps capabilities")
def _(manifests: Manifests) -> None:
    first(manifests)["securityContext"]["capabilities"]["add"] = ["NET_BIND_SERVICE"]


@fault(containers_have_no_rights, "user 0", says="may run as root")
def _(manifests: Manifests) -> None:
    first(manifests)["securityContext"]["runAsUser"] = 0


@fault(containers_have_no_rights, "every system call", says="every system call")
def _(manifests: Manifests) -> None:
    first(manifests)["securityContext"]["seccompProfile"] = {"type": "Unconfined"}


@fault(pods_stay_away_from_their_node, "a folder of the node", says="hostPath /var/run")
def _(manifests: Manifests) -> None:
    manifests.pod("relay").spec.setdefault("volumes", []).append(
        {"name": "x", "hostPath": {"path": "/var/run"}}
    )


@fault(pods_stay_away_from_their_node, "the node's network", says="hostNetwork")
def _(manifests: Manifests) -> None:
    manifests.pod("gateway").spec["hostNetwork"] = True


@fault(containers_are_bounded_in_memory_alone, "a limit of CPU", says="limit of CPU")
def _(manifests: Manifests) -> None:
    first(manifests)["resources"]["limits"]["cpu"] = "1"


@fault(containers_are_bounded_in_memory_alone, "no limit of memory", says="lacks a request")
def _(manifests: Manifests) -> None:
    del first(manifests, "trigger")["resources"]["limits"]


@fault(containers_are_bounded_in_memory_alone, "more asked than allowed", says="more memory")
def _(manifests: Manifests) -> None:
    first(manifests)["resources"] |= {
        "requests": {"cpu": "10m", "memory": "1Gi"},
        "limits": {"memory": "512Mi"},
    }


@fault(pods_say_who_they_are, "another name", says="is 'worker'")
def _(manifests: Manifests) -> None:
    manifests.pod("relay").metadata["labels"]["app.kubernetes.io/name"] = "worker"


@fault(pods_say_who_they_are, "a component that no policy knows", says="component is 'function'")
def _(manifests: Manifests) -> None:
    manifests.pod("renew").metadata["labels"]["app.kubernetes.io/component"] = "function"


@fault(pods_say_who_they_are, "of no part", says="part of boxoffice")
def _(manifests: Manifests) -> None:
    del manifests.pod("relay").metadata["labels"]["app.kubernetes.io/part-of"]


@fault(
    each_process_has_an_account_without_a_token, "an account that is not there", says="no ServiceAccount renw"
)
def _(manifests: Manifests) -> None:
    manifests.pod("renew").spec["serviceAccountName"] = "renw"


@fault(each_process_has_an_account_without_a_token, "an account shared", says="shares the ServiceAccount")
def _(manifests: Manifests) -> None:
    manifests.pod("renew").spec["serviceAccountName"] = "refund"


@fault(each_process_has_an_account_without_a_token, "a token", says="has a token")
def _(manifests: Manifests) -> None:
    manifests.pod("trigger").spec.pop("automountServiceAccountToken")


@fault(each_process_has_an_account_without_a_token, "an account with tokens", says="hands out tokens")
def _(manifests: Manifests) -> None:
    manifests.some("ServiceAccount").pop("automountServiceAccountToken")


@fault(each_process_has_an_account_without_a_token, "service links", says="enableServiceLinks")
def _(manifests: Manifests) -> None:
    manifests.pod("renew").spec.pop("enableServiceLinks")


@fault(each_process_has_an_account_without_a_token, "rights at the apiserver", says="RoleBinding reads")
def _(manifests: Manifests) -> None:
    manifests.objects.append({"kind": "RoleBinding", "metadata": {"name": "reads"}})


@fault(our_image_may_write_to_tmp, "no folder to write to", says="no emptyDir at /tmp")
def _(manifests: Manifests) -> None:
    first(manifests)["volumeMounts"] = []


@fault(our_image_may_write_to_tmp, "a volume that is not there", says="no volume tmpp")
def _(manifests: Manifests) -> None:
    first(manifests, "relay")["volumeMounts"][0]["name"] = "tmpp"


@fault(our_image_may_write_to_tmp, "a folder without a bound", says="may fill the node")
def _(manifests: Manifests) -> None:
    manifests.pod("webhook").spec["volumes"] = [{"name": "tmp", "emptyDir": {}}]
