"""Boxoffice in a kind cluster. Needs Docker, kind and kubectl, no virtualenv.

python3 -m infra.kubernetes up            the four stages, then the address
python3 -m infra.kubernetes cluster       1: a kind cluster with a kubeconfig of its own
python3 -m infra.kubernetes platform      2: Knative Serving and an ingress; kept when they are installed already
python3 -m infra.kubernetes images        3: our images built and loaded
python3 -m infra.kubernetes deploy        4: secrets, manifests, jobs; waits, or says why something does not come up
python3 -m infra.kubernetes down          delete the cluster
python3 -m infra.kubernetes diff          what `deploy` would change
python3 -m infra.kubernetes reasons       why pods do not run
python3 -m infra.kubernetes reach         try which process reaches what; exit 1 when a NetworkPolicy allows too much or too little
python3 -m infra.kubernetes demo          play the whole story through the gateway and compare the money
python3 -m infra.kubernetes logs [NAME]   follow the logs, one readable line per event
python3 -m infra.kubernetes mails [NUMBER]    read what was mailed; --customer bob: to bob
python3 -m infra.kubernetes cli ...       the operator's command line: explain ord_..., lag, dead-letters
python3 -m infra.kubernetes db            psql, read-only; ROLE=owner: as that role
python3 -m infra.kubernetes token [CUSTOMER] [SCOPE...]
python3 -m infra.kubernetes kills [NAME...]   kill each pod in turn under a load of orders, and count
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time

from infra.compose.look import READING, show_mails
from infra.compose.up import CUSTOMER
from infra.drill.rounds import DrillError
from infra.kubernetes import deploy, visitors
from infra.kubernetes.cluster import cluster, down
from infra.kubernetes.commands import NAMESPACE, ROOT, KubernetesError, environment, kubectl, tool
from infra.kubernetes.images import images
from infra.kubernetes.kills import kills
from infra.kubernetes.knative import knative, need_boxoffice, need_cluster
from infra.kubernetes.needs import need
from infra.kubernetes.reach import reach
from infra.local.relayed import follow
from shared_lib.visible import say

# "[pod/create-order-00001-deployment-7b9c5d6f4-x2x9q/door] ...", and the pods of Deployments, Jobs and StatefulSets.
NAMED = re.compile(
    r"\[pod/(?P<name>[a-z-]+?)(?:-[0-9]{5}-deployment)?(?:-[0-9a-f]{8,10})?-(?:[a-z0-9]{5}|[0-9]+)/[a-z0-9-]+\] ?(?P<line>.*)"
)
STAGES = {"cluster": cluster, "platform": knative, "images": images, "deploy": deploy.deploy}
FOR_PEOPLE = ("diff", "reasons", "reach", "demo", "logs", "mails", "cli", "db", "token", "kills")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="infra.kubernetes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["up", *STAGES, "down", *FOR_PEOPLE])
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        return _do(options.what, options.rest)
    except (KubernetesError, DrillError) as error:
        say(error, sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def up() -> None:
    """Run all stages and print how long each took."""
    need("docker", "kind", "kubectl")
    began = time.monotonic()
    for name, stage in STAGES.items():
        say(f"--- {name}")
        at = time.monotonic()
        stage()
        say(f"--- {name}: {time.monotonic() - at:.0f} s")
    deploy.greet(time.monotonic() - began)


def _do(what: str, rest: list[str]) -> int:
    if what in STAGES:
        STAGES[what]()
        return 0
    if what == "up":
        up()
        return 0
    if what == "down":
        down()
        return 0
    need("kubectl")
    need_cluster(otherwise="make kind_up")
    if what not in ("diff", "reasons"):
        need_boxoffice()
    return _for_people(what, rest)


def _for_people(what: str, rest: list[str]) -> int:
    match what:
        case "diff":
            return 0 if deploy.say_differences() else 1
        case "reasons":
            say(deploy.explanation())
        case "reach":
            return reach()
        case "demo":
            return visitors.demo(rest)
        case "cli":
            return visitors.cli(rest)
        case "db":  # the role support reads everything and changes nothing
            return visitors.psql(os.environ.get("ROLE") or "support", rest)
        case "token":
            say(deploy.token(rest[0] if rest else CUSTOMER, *(rest[1:] or ["billing:customer"])))
        case "mails":
            return show_mails(
                kubectl("exec", "-n", NAMESPACE, "deploy/mail", "--", "python", "-c", READING), rest
            )
        case "kills":
            return kills(rest)
        case _:
            return _logs(rest)
    return 0


def _logs(rest: list[str]) -> int:
    name = f"name={rest[0]}" if rest else "part-of=boxoffice"
    line = [
        "logs",
        "-n",
        NAMESPACE,
        "-f",
        "--tail=20",
        "--prefix",
        "--all-containers",
        "--max-log-requests=60",
    ]
    command = tool("kubectl", *line, "-l", f"app.kubernetes.io/{name}", *rest[1:])
    return follow(command, environment(), ROOT, NAMED.fullmatch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
