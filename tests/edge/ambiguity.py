"""Whether a regular expression can take more than linear time, by its automaton and not by a stopwatch.

A backtracking matcher takes more than linear time only when its automaton reads some word in two ways: round a loop at p,
round a loop at q, and from p to q, all over the same word (Weber and Seidl 1991, degree of ambiguity). In a search the
unread beginning of the text is one more loop, so that a repeat which fails after having read far is found as well. It does
not count when the match had already succeeded on its way: then nothing begins again further on.

Characters are sampled, long counted repeats are shortened, those above COUNTED_MAX are taken for unbounded, and what an
assertion asks may always fail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # the standard library's own parser
from typing import Any, Final

COUNTED_MAX: Final = 100  # a repeat of at most so many costs a constant factor
COPIES_MAX: Final = 4  # so many copies stand for a longer counted repeat
SAMPLES: Final = [*map(chr, range(256)), "\u0130", "\u0661", "\u2028", "\u4e2d", "\ud800", "\U0001f3ac"]
START, BEFORE = 0, 1

_reads: dict[tuple[str, int], frozenset[str]] = {}


@dataclass
class Automaton:
    """Glushkov's: a state is a place in the pattern that reads one character."""

    reads: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    follows: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    guarded: set[int] = field(default_factory=set)  # an assertion follows, which may fail
    final: frozenset[int] = frozenset()
    nothing_in_two_ways: bool = False  # which no automaton shows, and a matcher tries

    def state(self, reads: frozenset[str]) -> int:
        self.reads.append(reads)
        return len(self.reads) - 1

    def loops(self) -> set[int]:
        return {state for state in list(self.follows) if self._reaches_itself(state)}

    def _reaches_itself(self, start: int) -> bool:
        seen: set[int] = set()
        todo = list(self.follows[start])
        while todo:
            if (state := todo.pop()) not in seen:
                seen.add(state)
                todo.extend(self.follows.get(state, ()))
        return start in seen


@dataclass(frozen=True)
class Part:
    """`asserts`: what reads nothing here still asks something."""

    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    empty: bool = True
    asserts: bool = False


class _Builder:
    def __init__(self, flags: int) -> None:
        self.flags, self.automaton = flags, Automaton()

    def sequence(self, items: Iterable[Any]) -> Part:
        whole = Part()
        for item in items:
            whole = self.then(whole, self.item(item))
        return whole

    def then(self, left: Part, right: Part) -> Part:
        for state in left.last:
            self.automaton.follows[state] |= right.first
        if right.empty and right.asserts:
            self.automaton.guarded |= left.last
        return Part(
            left.first | right.first if left.empty else left.first,
            right.last | left.last if right.empty else right.last,
            left.empty and right.empty,
            (left.empty and left.asserts) or (right.empty and right.asserts),
        )

    def item(self, item: Any) -> Part:
        op, argument = item
        match op:
            case _constants.AT | _constants.ASSERT | _constants.ASSERT_NOT:
                return Part(asserts=True)
            case _constants.SUBPATTERN:
                return self.sequence(argument[-1])
            case _constants.ATOMIC_GROUP:
                return self.sequence(argument)
            case _constants.BRANCH:
                parts = [self.sequence(branch) for branch in argument[1]]
                self.automaton.nothing_in_two_ways |= sum(part.empty for part in parts) > 1
                return Part(
                    frozenset[int]().union(*(part.first for part in parts)),
                    frozenset[int]().union(*(part.last for part in parts)),
                    any(part.empty for part in parts),
                    any(part.asserts for part in parts),
                )
            case _constants.MAX_REPEAT | _constants.MIN_REPEAT | _constants.POSSESSIVE_REPEAT:
                return self.repeat(*argument)
            case _constants.GROUPREF | _constants.GROUPREF_EXISTS:
                raise ValueError("what refers back to a group is not linear")
            case _:
                state = self.automaton.state(self.characters(item))
                return Part(frozenset({state}), frozenset({state}), empty=False)

    def repeat(self, least: int, most: Any, body: Any) -> Part:
        whole = Part()
        self.automaton.nothing_in_two_ways |= most > 1 and self.sequence(body).empty
        for _ in range(min(least, COPIES_MAX)):
            whole = self.then(whole, self.sequence(body))
        if most == _constants.MAXREPEAT or most > COUNTED_MAX:
            loop = self.sequence(body)
            for state in loop.last:
                self.automaton.follows[state] |= loop.first
            return self.then(whole, Part(loop.first, loop.last, empty=True, asserts=loop.asserts))
        optional = Part()
        for _ in range(min(most - least, COPIES_MAX)):  # a(a(a)?)?, from the inside
            one = self.then(self.sequence(body), optional)
            optional = Part(one.first, one.last, empty=True)
        return self.then(whole, optional)

    def characters(self, item: Any) -> frozenset[str]:
        name = (repr(item), self.flags)
        if name not in _reads:
            one = _parser.SubPattern(_parser.State(), [item])
            one.state.flags, one.state.str = self.flags, ""
            reader = _compiler.compile(one, self.flags)
            _reads[name] = frozenset(char for char in SAMPLES if reader.fullmatch(char))
        return _reads[name]


def automaton_of(pattern: str, flags: int, *, searched: bool) -> Automaton:
    parsed = _parser.parse(pattern, flags)
    builder = _Builder(parsed.state.flags)
    automaton, before = builder.automaton, Part()
    if searched:
        state = automaton.state(frozenset(SAMPLES))
        assert state == BEFORE
        automaton.follows[state].add(state)
        before = Part(frozenset({state}), frozenset({state}))
    body = builder.sequence(parsed)
    automaton.follows[START] |= builder.then(before, body).first
    automaton.final = body.last - automaton.guarded
    return automaton


def superlinear(pattern: str, flags: int = 0, *, searched: bool) -> str | None:
    """A word to repeat where the pattern may take more than linear time, else None. `searched`: it may begin anywhere."""
    if pattern.startswith(("^", r"\A")) and "|" not in pattern:
        searched = False
    automaton = automaton_of(pattern, flags, searched=searched)
    if automaton.nothing_in_two_ways:
        return "nothing"
    loops = automaton.loops()
    succeeded = automaton.final if searched else frozenset[int]()  # a full match must still reach the end
    for p in loops:
        for q in loops - succeeded - {p}:
            if word := _word(automaton, (p, p, q), (p, q, q), succeeded):
                return word
    return next((word for state in loops if (word := _two_ways_round(automaton, state))), None)


def _word(
    automaton: Automaton, start: tuple[int, ...], end: tuple[int, ...], succeeded: frozenset[int]
) -> str | None:
    """A word over which all of these walk from start to end at once, the second without having succeeded."""
    seen, todo = {start}, [(start, "")]
    for states, word in todo:
        for following, char in _steps(automaton, states):
            if following == end:
                return word + char
            if following not in seen and following[1] not in succeeded:
                seen.add(following)
                todo.append((following, word + char))
    return None


def _two_ways_round(automaton: Automaton, state: int) -> str | None:
    """A word over which the loop at `state` can be walked in two ways: that is exponential."""
    start: tuple[int, ...] = (state, state)
    seen, todo = {(start, False)}, [(start, False, "")]
    for states, parted, word in todo:
        for following, char in _steps(automaton, states):
            apart = parted or following[0] != following[1]
            if following == start and apart:
                return word + char
            if (following, apart) not in seen:
                seen.add((following, apart))
                todo.append((following, apart, word + char))
    return None


def _steps(automaton: Automaton, states: tuple[int, ...]) -> Iterable[tuple[tuple[int, ...], str]]:
    """Where all of these may go over one character, and such a character."""
    ways: list[tuple[tuple[int, ...], frozenset[str]]] = [((), frozenset(SAMPLES))]
    for state in states:
        ways = [
            ((*chosen, following), common)
            for chosen, chars in ways
            for following in automaton.follows.get(state, ())
            if (common := chars & automaton.reads[following])
        ]
    return [(chosen, min(chars)) for chosen, chars in ways]
