"""Text from data in Markdown, where it must not act as markup."""

from collections.abc import Mapping, Sequence
from typing import Any

_ESCAPES = {ord(character): f"&#{ord(character)};" for character in "\\`*_{}[]()<>#!|$&"}
"""What Markdown or HTML could take for markup."""


def plain(value: Any, length: int) -> str:
    """One line of at most so many characters, which nothing takes for markup."""
    text = "" if value is None or value != value else str(value)
    text = text if len(text) <= length else text[: length - 1] + "…"
    return " ".join(text.translate(_ESCAPES).split())


def markdown_table(rows: Sequence[Mapping[str, Any]], length: int = 80) -> str:
    """Rows of equal keys as a table; numbers with four significant digits."""
    if not rows:
        return "none"
    columns = list(rows[0])
    lines = [f"| {' | '.join(plain(column, length) for column in columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row[column], length) for column in columns)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any, length: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else plain(value, length)
