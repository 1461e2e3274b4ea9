"""Rules that neither a schema nor a webhook checks. Importing a module here registers its rules and their faults."""

from __future__ import annotations

from tests.k8s.rules import (
    capacity,
    containers,
    doors,
    environment,
    events,
    images,
    policies,
    programs,
    references,
    routing,
    secrets,
    workloads,
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
    "name_of_rule",
    "policies",
    "programs",
    "references",
    "routing",
    "secrets",
    "workloads",
]
