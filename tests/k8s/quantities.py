"""Kubernetes' quantities, ISO 8601 durations as Knative Eventing reads them, and five-field cron."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]+)?")
_UNITS: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}
# No years and months: their length varies, and a pause of that length is a mistake.
_ISO: Final = re.compile(
    r"P(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)
_CRON_BOUNDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_CRON_NAMES: Final = (
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
)


def quantity(text: object) -> Decimal | None:
    """`250m` is 0.25, `2Gi` is 2147483648; None for what is no quantity."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        return None
    number, unit = Decimal(found[1]), found[2] or ""
    return (
        number * Decimal(10) ** int(unit[1:])
        if unit[:1] in ("e", "E") and unit[1:].isdigit()
        else number * _UNITS[unit]
    )


def iso_seconds(text: object) -> float | None:
    """`PT0.5S` is 0.5; None for what is no duration with a length, such as `1s` or `PT`."""
    found = _ISO.fullmatch(str(text))
    if found is None or not any(found.groupdict().values()) or str(text).endswith("T"):
        return None
    parts = {name: float(value or 0) for name, value in found.groupdict().items()}
    return parts["d"] * 86_400 + parts["h"] * 3600 + parts["m"] * 60 + parts["s"]


def cron_mistake(text: object) -> str | None:
    """Why this is no five-field cron expression; None when it is one."""
    fields = str(text).split(" ")
    if len(fields) != len(_CRON_BOUNDS):
        return f"{len(fields)} fields, not 5"
    for place, (field, (low, high)) in enumerate(zip(fields, _CRON_BOUNDS, strict=True)):
        names = _CRON_NAMES[place - 3] if place >= 3 else []
        for part in field.split(","):
            if not _cron_part_fits(part, low, high, names):
                return f"field {place + 1} cannot be {field!r}"
    return None


def _cron_part_fits(part: str, low: int, high: int, names: list[str]) -> bool:
    reach, slash, step = part.partition("/")
    if slash and not (step.isdigit() and int(step) > 0):
        return False
    if reach == "*":
        return True
    ends = [str(low + names.index(end.upper())) if end.upper() in names else end for end in reach.split("-")]
    return (
        len(ends) <= 2
        and all(end.isdigit() and low <= int(end) <= high for end in ends)
        and int(ends[0]) <= int(ends[-1])
    )
