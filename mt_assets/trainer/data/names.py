"""What names of columns tell: which one a person probably meant, and which are no columns of data."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest in spelling, or None where none is close. Letter case does not count."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def meant(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown column: the nearest one, or all there are."""
    names = list(known)
    close = nearest(name, names)
    if close:
        return f"Did you mean '{close}'?"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"The columns are: {', '.join(names[:20])}{more}."


def is_frame_index(name: str) -> bool:
    """Whether a column is called as pandas calls an index without a name that is written with the columns."""
    return re.fullmatch(r"__index_level_\d+__|Unnamed: 0", name) is not None
