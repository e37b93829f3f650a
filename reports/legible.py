"""A study as it can be printed: long names are cut, and no character is left that a page or a picture cannot hold.

Names come out of files that people wrote, or of a store that somebody sent. What is cut stands in full in the CSV
tables and in the table of trials.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from reports.study import Study

LONGEST = 60
"""Characters of a name or value."""

TITLE, SENTENCE = 120, 400

_REVERSING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn round the text after them, ours included; honest names in any script do without."""


def clean(value: Any) -> Any:
    """A text with a space for each line break or tab, and U+FFFD for other controls and surrogates; others as given."""
    if isinstance(value, (list, tuple)):
        return type(value)(clean(item) for item in value)
    if not isinstance(value, str) or (value.isascii() and value.isprintable()):
        return value
    bad = [c for c in dict.fromkeys(value) if c in _REVERSING or unicodedata.category(c) in ("Cc", "Cs")]
    return value.translate({ord(c): " " if c in "\n\r\t" else "\N{REPLACEMENT CHARACTER}" for c in bad})


def cleaned(study: Study) -> Study:
    """The study with every text `clean`."""
    return _changed(study, clean, clean)


def legible(study: Study) -> Study:
    """The cleaned study with every name and value cut; two that begin alike are numbered, to stay two."""
    known: dict[str, str] = {}

    def cut(value: Any) -> Any:
        if not isinstance(value, str) or len(value) <= LONGEST:
            return value
        if value not in known:
            short = _shortened(value, LONGEST)
            same = sum(other.startswith(short) for other in known.values())
            known[value] = f"{short} ({same + 1})" if same else short
        return known[value]

    found = _changed(study, cut, lambda text: _shortened(text, SENTENCE))
    full = {"title": study.title} if len(study.title) > TITLE else {}
    return replace(found, title=_shortened(study.title, TITLE), facts={**full, **found.facts})


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _changed(study: Study, name: Callable[[Any], Any], sentence: Callable[[str], str]) -> Study:
    """With `name` applied to every name and value, and `sentence` to what is prose."""

    def column(values: pd.Series) -> pd.Series:
        if pd.api.types.is_numeric_dtype(values) or values.name == "trial_id":  # by which the artefacts are found
            return values
        change = _text(sentence) if values.name == "reason" else name
        return values.map(change)

    rows = study.rows.apply(column).rename(columns=name)
    return replace(
        study,
        name=name(study.name),
        title=sentence(study.title),
        rows=rows,
        axes={name(axis): [name(value) for value in values] for axis, values in study.axes.items()},
        facts={name(key): sentence(str(value)) for key, value in study.facts.items()},
        warnings=[sentence(text) for text in study.warnings],
        notes=[sentence(text) for text in study.notes],
        names={name(dataset): [name(text) for text in names] for dataset, names in study.names.items()},
        sampled=tuple(map(name, study.sampled)),
        published=None if study.published is None else study.published.apply(column).rename(columns=name),
    )


def _text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, str) else value
