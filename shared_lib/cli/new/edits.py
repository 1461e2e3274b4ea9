"""Edits of a source tree: all of them are written, or none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from shared_lib.cli.terminal import CannotError


class Edits:
    """Texts to add to the files under `root`. Nothing is written before `write`."""

    def __init__(self, root: Path) -> None:
        self._root: Final = root
        self._texts: dict[str, str] = {}

    def create(self, path: str, text: str) -> None:
        """A new file. Raises CannotError when it is there."""
        if (self._root / path).exists():
            raise CannotError(f"{path} exists already.")
        self._texts[path] = text

    def before(self, path: str, line: str, text: str) -> None:
        """Add text before the one line that begins with `line`. Raises CannotError when no line, or more than one, does."""
        lines = self._text(path).splitlines(keepends=True)
        found = [at for at, one in enumerate(lines) if one.startswith(line)]
        if len(found) != 1:
            raise CannotError(
                f"{path} has {len(found)} lines that begin with {line!r}, not one: edit it by hand."
            )
        self._texts[path] = "".join([*lines[: found[0]], text, *lines[found[0] :]])

    def after(self, path: str, line: str, text: str) -> None:
        """Add text after the one line that begins with `line`, as `before` does."""
        lines = self._text(path).splitlines(keepends=True)
        found = [at for at, one in enumerate(lines) if one.startswith(line)]
        if len(found) != 1:
            raise CannotError(
                f"{path} has {len(found)} lines that begin with {line!r}, not one: edit it by hand."
            )
        self._texts[path] = "".join([*lines[: found[0] + 1], text, *lines[found[0] + 1 :]])

    def replace(self, path: str, old: str, new: str) -> None:
        """Put `new` in the place of the one `old`. Raises CannotError when `old` stands there not once."""
        text = self._text(path)
        if (times := text.count(old)) != 1:
            raise CannotError(f"{path} has {times} times {old!r}, not once: edit it by hand.")
        self._texts[path] = text.replace(old, new)

    def remove_in(self, path: str, start: str, line: str, *, missing: str) -> None:
        """Remove the first line behind `start` that begins with `line`. Raises CannotError(missing) when there is none."""
        lines = self._text(path).splitlines(keepends=True)
        begins = next((at for at, one in enumerate(lines) if one.startswith(start)), len(lines))
        found = next((at for at, one in enumerate(lines) if at > begins and one.startswith(line)), None)
        if found is None:
            raise CannotError(missing)
        del lines[found]
        self._texts[path] = "".join(lines)

    def count_up(self, path: str, pattern: re.Pattern[str]) -> None:
        """Add 1 to the number in the one place that fits `pattern`, whose only group it is. Raises CannotError when none does."""
        text = self._text(path)
        found = pattern.search(text)
        if found is None:
            raise CannotError(f"{path} has nothing like {pattern.pattern!r}: edit it by hand.")
        self._texts[path] = f"{text[: found.start(1)]}{int(found[1]) + 1}{text[found.end(1) :]}"

    def append(self, path: str, text: str) -> None:
        self._texts[path] = self._text(path).rstrip("\n") + "\n" + text

    def write(self) -> list[str]:
        """Write everything. Returns the paths, in the order of the edits."""
        for path, text in self._texts.items():
            place = self._root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return list(self._texts)

    def _text(self, path: str) -> str:
        if path not in self._texts:
            try:
                self._texts[path] = (self._root / path).read_text()
            except FileNotFoundError:
                raise CannotError(f"{path} is not here: run this in a checkout of Boxoffice.") from None
        return self._texts[path]
