"""Every regular expression of the project, found in its source and its configuration."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("shared_lib", "functions", "infra")
_FUNCTIONS: Final = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
_ANCHORED: Final = {"match", "fullmatch"}
_NGINX: Final = re.compile(r'"?~\*?(\^(?:[^"\n]*(?="\s)|\S*(?=\s)))')


@dataclass(frozen=True)
class Pattern:
    where: str
    text: str
    flags: int
    searched: bool  # it may begin anywhere in the text

    def __str__(self) -> str:
        return f"{self.where} {self.text[:60]}"


def all_patterns() -> list[Pattern]:
    return [*in_python(), *in_nginx()]


def in_nginx() -> Iterator[Pattern]:
    """Those of maps, locations and conditions; PCRE's names of groups differ from Python's."""
    for path in sorted((ROOT / "infra/nginx").glob("*.conf")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for found in () if line.lstrip().startswith("#") else _NGINX.finditer(line):
                text = re.sub(r"\(\?<(?=[a-z])", "(?P<", found[1])
                yield Pattern(f"infra/nginx/{path.name}:{number}", text, 0, searched=False)


def in_python() -> Iterator[Pattern]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *(f"{room}/*.py" for room in ROOMS)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    paths = map(Path, listed.stdout.split()) if listed.returncode == 0 else ()
    found = sorted(paths) or sorted(
        p.relative_to(ROOT) for room in ROOMS for p in (ROOT / room).rglob("*.py")
    )
    for path in found:
        source = (ROOT / path).read_text()
        if re.search(r"^\s*(import re|from re import)\b", source, re.MULTILINE):
            yield from _of_module(path, source)


def _of_module(path: Path, source: str) -> Iterator[Pattern]:
    tree = ast.parse(source)
    bound = {id(node.value): node.targets[0] for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    bound |= {id(n.value): n.target for n in ast.walk(tree) if isinstance(n, ast.AnnAssign) and n.value}
    asked_of = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)) if name in _FUNCTIONS:
                text = _value(path, node.args[0])
                if text is None:
                    raise LookupError(
                        f"{path}:{node.lineno}: make the pattern a constant, so that it can be tested"
                    )
                ways = {name}
                if name == "compile":
                    target = bound.get(id(node))
                    named = target.id if isinstance(target, ast.Name) else None
                    uses = set(re.findall(rf"\b{named}\.(\w+)", source)) if named else set()
                    ways = {asked_of[id(node)]} if id(node) in asked_of else uses
                yield Pattern(
                    f"{path}:{node.lineno}",
                    text,
                    _flags(path, node),
                    searched=not ways or not ways <= _ANCHORED,
                )
            case _:
                pass


def _flags(path: Path, call: ast.Call) -> int:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    for given in [*call.args[1:], *named]:
        if isinstance(given, ast.Attribute | ast.BinOp) and "re." in ast.unparse(given):
            return int(eval(ast.unparse(given), {"re": re}))  # noqa: S307 - our own source
    return 0


def _value(path: Path, node: ast.expr) -> str | None:
    """A literal, or what the module makes of an expression of its own constants."""
    if isinstance(node, ast.Constant):
        return _as_text(node.value)
    try:
        module = importlib.import_module(".".join(path.with_suffix("").parts))
        return _as_text(eval(ast.unparse(node), vars(module)))  # noqa: S307 - our own source
    except (NameError, SyntaxError):
        return None


def _as_text(value: Any) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None


@functools.cache
def attacks(pattern: Pattern, size: int) -> tuple[str, ...]:
    """Long texts that come close to fitting: each piece of the pattern repeated, with an end that does not fit."""
    from tests.edge.ambiguity import automaton_of  # noqa: PLC0415

    automaton = automaton_of(pattern.text, pattern.flags, searched=False)
    chars = [min(reads, key=lambda c: (not c.isprintable(), c)) for reads in automaton.reads[1:] if reads]
    way, state = "", 0
    seen: set[int] = set()
    while (following := sorted(automaton.follows.get(state, set()) - seen)) and len(way) < 100:
        state = following[0]
        seen.add(state)
        way += min(automaton.reads[state], key=lambda c: (not c.isprintable(), c))
    pieces = {*chars, *(way[n:] for n in range(min(len(way), 24))), way[:3], way[: len(way) // 2]}
    return tuple(
        (head + piece * (size // len(piece)))[:size] + "\x00"
        for piece in sorted(pieces)
        if piece
        for head in ("", way)
    )
