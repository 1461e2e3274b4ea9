"""Writes the files of k8s/ that follow from others: event routes and NGINX's configuration.

python -m infra.kubernetes.generate
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from infra.nginx.doors import FILE, service, table
from shared_lib.contract.routes import EVENT_ROUTES

ROOT: Final = Path(__file__).parents[2]
BASE: Final = ROOT / "k8s" / "base"
NGINX_CONF: Final = FILE.with_name("nginx.conf")
KIND: Final = ROOT / "k8s" / "overlays" / "kind"
COMMAND: Final = "python -m infra.kubernetes.generate"
# What Knative calls a door inside the cluster. A door answers to this name alone, so calls carry it as Host.
DOMAIN: Final = "boxoffice.svc.cluster.local"

# What differs from NGINX in front of containers: text, what stands there instead, how often.
_CHANGES: Final = (
    ("resolver 127.0.0.11 valid=2s ipv6=off;", "resolver kube-dns.kube-system.svc.cluster.local valid=2s ipv6=off;", 1),
    ("proxy_set_header Host $host;", f"proxy_set_header Host $door.{DOMAIN};", 2),
    ("proxy_pass http://$door:8080$request_uri;", f"proxy_pass http://$door.{DOMAIN}$request_uri;", 2),
    ("proxy_pass http://$provider:8080$request_uri;", f"proxy_pass http://$provider.{DOMAIN}:8080$request_uri;", 1),
)  # fmt: skip
# The sandbox provider gives titles away: its page, and the one it leads back to, are on kind only.
_SANDBOX_PLACES: Final = ("location /pay/ {", "location = /thanks {")


def files() -> dict[Path, str]:
    """Every generated file and its text."""
    return {
        BASE / "routes.env": routes(),
        BASE / "gateway" / "doors.conf": f"# Written by `{COMMAND}` from infra/nginx/doors.conf.\n{table()}",
        BASE / "gateway" / "nginx.conf": nginx(sandbox=False),
        KIND / "gateway" / "nginx.conf": nginx(sandbox=True),
    }


def routes() -> str:
    """The settings of what delivers events: one variable, in the form of kustomize's `envs`."""
    addresses = {kind: f"http://{service(door)}.{DOMAIN}" for kind, door in EVENT_ROUTES.items()}
    return (
        f"# Written by `{COMMAND}` from shared_lib/contract/routes.py; a test compares them.\n"
        f"BOXOFFICE_EVENT_ROUTES={json.dumps(addresses)}\n"
    )


def nginx(*, sandbox: bool) -> str:
    """infra/nginx/nginx.conf for doors on Knative. Raises ValueError when that file no longer has what is replaced."""
    text = NGINX_CONF.read_text()
    for there, instead, times in _CHANGES:
        if text.count(there) != times:
            raise ValueError(f"infra/nginx/nginx.conf has {there!r} {text.count(there)} times, not {times}")
        text = text.replace(there, instead)
    if not sandbox:
        for place in _SANDBOX_PLACES:
            text = _without(text, place)
    return f"# Written by `{COMMAND}` from infra/nginx/nginx.conf; a test compares them.\n#\n{text}"


def _without(text: str, place: str) -> str:
    """Take a location out, with the comment above it and the empty line below."""
    lines = text.split("\n")
    found = [number for number, line in enumerate(lines) if line.strip() == place]
    if len(found) != 1:
        raise ValueError(f"infra/nginx/nginx.conf has {place!r} {len(found)} times, not once")
    first = found[0]
    last = lines.index(lines[first].removesuffix(place) + "}", first)
    while lines[first - 1].strip().startswith("#"):
        first -= 1
    return "\n".join(lines[:first] + lines[last + 2 :])


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
