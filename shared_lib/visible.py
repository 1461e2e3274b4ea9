"""Text from outside, made safe to show: terminals obey control characters, and invisible ones deceive readers."""

from __future__ import annotations

import re
import sys
from itertools import zip_longest
from typing import Final, TextIO

# C0 but tab and line feed, DEL, C1 (0x9b alone begins an escape sequence), and the format characters that turn the
# reading direction around, hide or separate lines (Unicode Technical Report 36, bidi overrides among them).
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_BREAKS: Final = re.compile("[\t\n]")


def visible(text: str) -> str:
    r"""The text with each control or invisible character escaped, such as \x1b or \u202e. Tabs and line feeds stay."""
    return text if text.isprintable() else _CONTROL.sub(_written_out, text)


def on_one_line(text: str) -> str:
    r"""Like `visible`, for a cell of a table: a tab becomes \t, a line feed \n."""
    return text if text.isprintable() else _BREAKS.sub(_written_out, visible(text))


def say(
    text: object = "", to: TextIO | None = None, *, colors: re.Pattern[str] | None = None, end: str = "\n"
) -> None:
    """Print a line. All output of our command lines passes here, to standard output by default.

    Much of it comes from customers, providers and events, so control characters are escaped; `colors` matches the escape
    sequences that are the program's own. `end` is written behind it. A character that the terminal's encoding lacks is escaped as well.
    """
    stream = to or sys.stdout
    own = colors.findall(str(text)) if colors else []
    plain = map(visible, colors.split(str(text)) if colors else [str(text)])
    shown = "".join(part for pair in zip_longest(plain, own, fillvalue="") for part in pair)
    encoding = stream.encoding or "utf-8"
    stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + end)
    stream.flush()


def _written_out(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()
