"""How the harness meets a terminal: one place for colours, for `NO_COLOR`, and for what is no terminal at all."""

import os
import sys

from rich.console import Console

_NO_TERMINAL_WIDTH = 1000  # a pipe or a file has no width to fit


def console(error: bool = False) -> Console:
    """Rich's console on standard output, or on standard error. Texts are shown as they are, never read as markup.

    `NO_COLOR` (https://no-color.org) takes away every style; otherwise rich asks the terminal, `TERM` and
    `FORCE_COLOR`, which forces styles into a pipe, but neither a width nor anything that moves.
    """
    stream = sys.stderr if error else sys.stdout
    return Console(
        stderr=error,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=None if stream.isatty() else _NO_TERMINAL_WIDTH,
    )


def can_animate() -> bool:
    """Whether standard error is a terminal that can draw over its own lines."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
