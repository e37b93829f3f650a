"""The errors that are told in one line, and how to tell any other in one."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class RequestError(ValueError):
    """The request itself was wrong: one plain line that says what, where and what is allowed. Exit code 2."""


class NotInstalled(ImportError):
    """A backend's framework is absent. The message says how to install it."""


class Told(Exception):
    """What happened in another process. The text says all of it, without this exception's own name or place."""


_LONGEST = 80  # characters of a value that are shown


def unknown(kind: str, given: object, allowed: Iterable[str]) -> str:
    """`unknown optimizer 'adm': did you mean 'adam'? (allowed: sgd, momentum, nesterov, adam)`."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(given).lower()[:_LONGEST], allowed, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {short(given)}{hint} (allowed: {', '.join(allowed)})"


def short(value: Any) -> str:
    """A value for an error line: whole, unless it is very long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:60]}…"


def plain_text(value: object, most: int = 500) -> str:
    """The text of anything in one line that every store, file and terminal can hold: bounded, without half characters.

    What is no printable character becomes a space.
    """
    try:
        text = str(value)[: 2 * most].encode("utf-8", "replace").decode()
    except Exception:
        text = f"<{type(value).__name__} without a text>"
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= most else f"{line[:most]}…"


def describe(error: BaseException) -> str:
    """An exception in one line, with the place that raised it."""
    if isinstance(error, Told):
        return plain_text(error, 1000)
    message = plain_text(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({plain_text(Path(frames[-1].filename).name)}:{frames[-1].lineno})" if frames else ""
    name = plain_text(type(error).__name__)
    return f"{name}: {message}{place}" if message else f"{name}{place}"
