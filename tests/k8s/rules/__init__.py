"""Rules that neither a schema nor a webhook checks. Importing a module here registers its rules and their faults."""

from __future__ import annotations

from tests.k8s.rules import (
    capacity,
    containers,
    doors,
    environment,
    events,
    images,
    kafka_access,
    policies,
    programs,
    proofs,
    references,
    routing,
    secrets,
    template,
    workloads,
    world,
)
from tests.k8s.rules.registry import FAULTS, RULES, Fault, Rule, name_of_rule

__all__ = [
    "FAULTS",
    "RULES",
    "Fault",
    "Rule",
    "capacity",
    "containers",
    "doors",
    "environment",
    "events",
    "images",
    "kafka_access",
    "name_of_rule",
    "policies",
    "programs",
    "proofs",
    "references",
    "routing",
    "secrets",
    "template",
    "workloads",
    "world",
]
