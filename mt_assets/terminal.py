"""The terminal as a place where text from specs and data is shown, and does nothing.

What belongs here: how a console is made. What does not: what is shown on it (`console`, `cli`). Nothing heavy is
imported, because every command begins with it.
"""

import os
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.text import Text

_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "�")
"""What a terminal may take for an order: all control characters but tabs and line ends."""


class Terminal(Console):
    """A console on which no text acts as markup, emoji code or escape sequence.

    Parameters
    ----------
    file : text file, optional
        Where it goes; by default the output of the process.
    stderr : bool
        The error output of the process instead.
    width : int, optional
        Columns; by default those of the terminal.
    quiet : bool
        Show nothing.
    """

    def __init__(
        self, file: IO[str] | None = None, *, stderr: bool = False, width: int | None = None, quiet: bool = False
    ) -> None:
        super().__init__(
            file=file, stderr=stderr, width=width, quiet=quiet,
            markup=False, emoji=False, highlight=False, soft_wrap=True,
        )  # fmt: skip

    def on_broken_pipe(self) -> None:
        """Say nothing more where nobody listens any more, and go on: what is done is worth more than what is said."""
        self.quiet = True
        with Path(os.devnull).open("wb") as nowhere:  # there goes what is still to be written
            os.dup2(nowhere.fileno(), self.file.fileno())

    def render_str(self, text: str, **options: Any) -> Text:
        """As of rich, for every text that is printed or stands in a table."""
        return super().render_str(text.translate(_CONTROLS), **options)
