"""Text that has to fit: broken into lines, or cut with a "…". All lengths are inches."""

import textwrap

CHARACTER = 0.0083
"""The width of a character of DejaVu Sans for each point of its size; most are narrower."""

LINE = 0.0185
"""The height of a line for each point of size."""


def wrapped(text: str, width: float, size: float) -> list[str]:
    """The lines of `text`, none wider than `width`."""
    return textwrap.wrap(text, max(int(width / (CHARACTER * size)), 12), break_on_hyphens=False) or [""]


def fitted(text: str, width: float, height: float, size: float = 8) -> str:
    """As much of `text` as fits into a box, with a "…" where it was cut."""
    lines = max(int(height / (LINE * size)), 1)
    columns = max(int(width / (CHARACTER * size)), 8)
    return "\n".join(textwrap.wrap(text, columns, break_on_hyphens=False, max_lines=lines, placeholder=" …"))
