"""`harness conventions`."""

import json
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.calls.keywords import agree, controlled_call, native_call
from harness.cli import completion
from harness.cli.options import CellOption, pick_cell
from harness.cli.output import Output
from harness.contract import Config
from harness.conventions.table import CONVENTIONS, GIVEN, Convention, Row
from harness.draws.recipe import Recipe
from harness.experiment.axes import describe_cell
from harness.experiment.datasets import load_datasets
from harness.experiment.file import load, suites
from harness.planning.plan import Trial, plan
from harness.registry import CONTROLLED, PROFILES, backends, check_row, declared_by, native_backends, row_of, untold
from harness.support.errors import RequestError, unknown

EXAMPLES = (
    "harness conventions",
    "harness conventions keras torch",
    "harness conventions sklearn course-2018-keras",
    "harness conventions digits-quick keras torch --cell learning_rate=0.1,l2=0.001",
    "harness conventions digits-quick --cell learning_rate=0.1,l2=0.001",
    "harness conventions --format markdown -o conventions.md",
)

_WIDTH = 100
_OWN = ("optimizer", "momentum", "nesterov")  # what an experiment asks for


class Format(StrEnum):
    """How the table is written."""

    text = "text"
    markdown = "markdown"
    json = "json"


@dataclass(frozen=True)
class Use:
    """What one row uses: the value, its formula where there is one, and the file that shows it."""

    row: str
    value: str
    formula: str
    source: str


@dataclass(frozen=True)
class Entry:
    """One convention: its values with their formulas, and what each row uses."""

    name: str
    title: str
    phase: str
    values: dict[str, str]
    uses: list[Use]

    @property
    def differs(self) -> bool:
        """Whether its rows use more than one value."""
        return len({use.value for use in self.uses}) > 1

    @property
    def is_the_experiment_s(self) -> bool:
        """Whether no row has a value of its own."""
        return {use.value for use in self.uses} <= {GIVEN, "None"}


def command(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXP] [A B]",
            help="An experiment or a suite; backends, profiles or 'controlled'.",
            autocompletion=completion.experiment_or_side,
        ),
    ] = None,
    cell: CellOption = "",
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.text,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it there.")] = None,
) -> None:
    """How each backend reads the same hyperparameters: every convention, its values, formulas and sources.

    With A and B only where the two differ. With an experiment the values in force in one of its cells, and the very
    lines that each framework is given there, in both modes. Without --cell it is that in the middle of every axis.
    """
    rows, source = _asked(what or [])
    trial = None if source is None else _trial(source, cell)
    if source is None and cell:
        raise RequestError(f"--cell {cell!r}: needs an experiment: harness conventions EXP A B --cell …")
    document = _document(rows, trial)
    text = {Format.text: _text, Format.markdown: _markdown, Format.json: _json}[form](document)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RequestError(f"-o {output}: cannot be written: {error.strerror}; give another file") from None


def _asked(what: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """The names of rows, none or two, and the experiment, which stands first, or last."""
    for name in what:
        if name.endswith(".toml"):
            load(name)  # which makes its profiles known
    rows, source, known = [*what], None, (*native_backends(), *PROFILES, CONTROLLED)
    for place in (0, -1):
        # some profiles have a suite of their name: of two names with such a one both are rows
        if rows and source is None and _is_experiment(rows[place]) and (rows[place] not in known or len(rows) != 2):
            source = rows.pop(place)
    for name in rows:
        if name not in known:
            if name in backends():
                check_row(name)
            raise RequestError(unknown("backend, profile or suite", name, dict.fromkeys((*known, *suites()))))
    if len(rows) not in (0, 2):
        raise RequestError(f"{' '.join(what)!r}: give two backends or profiles to compare, or none")
    return tuple(rows), source


def _is_experiment(name: str) -> bool:
    return name in suites() or name.endswith(".toml")


def _trial(source: str, cell: str) -> Trial:
    """The first repeat of the cell; where none is named, of the one in the middle of every axis, which is told."""
    experiment = load(source)
    if not cell and len(experiment.sweep):
        cell = describe_cell({axis: values[len(values) // 2] for axis, values in experiment.sweep.items()})
        Output("conventions").note(
            f"in the middle of each axis: --cell {shlex.quote(cell)}; another: --cell AXIS=VALUE,…"
        )
    chosen = pick_cell(experiment, cell)
    trial = next(trial for trial in plan(experiment, load_datasets(experiment)) if trial.cell == chosen)
    if not trial.config.network.dense:
        raise RequestError(
            f"{experiment.source}: network.layers: conventions are those of networks that hidden and activation can "
            "write; choose another --cell"
        )
    return trial


def _document(rows: tuple[str, ...], trial: Trial | None) -> dict[str, Any]:
    """All that is written, as plain data but for the entries."""
    if trial is None:
        entries = [_general(convention, rows or tuple(native_backends())) for convention in CONVENTIONS.values()]
        return {"rows": rows, "conventions": [entry for entry in entries if not rows or entry.differs]}
    config, shown = trial.config, rows or (CONTROLLED, *native_backends())
    found = {name: row_of(name, config, trial.recipe) for name in shown}
    entries = [
        _in_force(convention, found, config)
        for convention in CONVENTIONS.values()
        if any(convention.applies(config, row) for row in found.values())
    ]
    entries = [entry for entry in entries if entry.differs or not (rows or entry.is_the_experiment_s)]
    backends = [name for name in shown if name in native_backends()]
    reason = trial.not_native()
    document: dict[str, Any] = {"rows": rows, "cell": trial.settings(), "conventions": entries}
    document["native"] = {name: [f"# {reason}"] if reason else native_call(name, config) for name in backends}
    document["controlled"] = {name: controlled_call(name, config) for name in backends}
    if rows:
        document["agree"] = agree(rows[0], rows[1], [entry.name for entry in entries], config, trial.recipe)
    return document


def _general(convention: Convention, rows: Sequence[str]) -> Entry:
    """A convention for no experiment in particular."""
    uses = []
    for row in rows:
        declared = declared_by(row).get(convention.name)
        value = str(declared) if declared is not None else _general_value(row, convention.name)
        source = declared.source if declared is not None else "experiments/profiles.py" if row in PROFILES else ""
        uses.append(Use(row, value, convention.formula(value), source))
    return Entry(convention.name, convention.title, convention.phase, dict(convention.values), uses)


def _general_value(row: str, name: str) -> str:
    """What a profile or the harness uses, whatever the experiment's optimizer; "none" where there is no such thing."""
    if row in native_backends():
        return (
            str(getattr(Row(), name))
            if name in ("hidden", "activation", "epochs", "n_batches")
            else (GIVEN if name == "optimizer" else "none")
        )
    found: dict[str, list[str]] = {}
    for optimizer in ("sgd", "momentum", "adagrad", "rmsprop", "adam"):
        config = Config.of(
            64, 10, (50,), ("sigmoid",), optimizer=optimizer, learning_rate=0.1, batch_size=100, epochs=20
        )
        found.setdefault(str(getattr(row_of(row, config, Recipe()), name)), []).append(optimizer)
    if len(found) == 1:
        return next(iter(found))
    return GIVEN if name in _OWN else "; ".join(f"{value} in {', '.join(users)}" for value, users in found.items())


def _in_force(convention: Convention, rows: dict[str, Row], config: Config) -> Entry:
    """A convention with the values that rows have for one config, or what a backend has in place of one."""
    uses = []
    for name, row in rows.items():
        own = untold(name, config).get(convention.name)
        if own is not None:
            uses.append(Use(name, "not in the table", own, declared_by(name)[convention.name].source))
            continue
        value = getattr(row, convention.name)
        declared = declared_by(name).get(convention.name)
        source = declared.source if declared is not None else ""
        uses.append(Use(name, str(value), convention.formula(value), source))
    return Entry(convention.name, convention.title, convention.phase, dict(convention.values), uses)


def _json(document: dict[str, Any]) -> str:
    plain = {**document, "conventions": [asdict(entry) for entry in document["conventions"]]}
    return json.dumps(plain, indent=2, ensure_ascii=False)


def _text(document: dict[str, Any]) -> str:
    resolved = "cell" in document
    lines: list[str] = []
    if resolved:
        lines += [_cell(document["cell"]), ""]
    for entry in document["conventions"]:
        lines.append(f"{entry.name}: {entry.title} ({entry.phase})")
        if not document["rows"] and not resolved:
            width = max(map(len, entry.values))
            lines += [f"    {value:<{width}}  {text}" for value, text in entry.values.items()]
        lines += [*_uses(entry, sources=not resolved, formulas=bool(document["rows"])), ""]
    if document["rows"] and not document["conventions"]:
        lines.append(f"{' and '.join(document['rows'])}: no convention differs")
    for heading, block in _blocks(document):
        lines += [heading, *(f"    {line}" for line in block), ""]
    return "\n".join(lines).rstrip()


def _cell(settings: dict[str, Any]) -> str:
    return "\n".join(_wrapped([f"{key}={value}" for key, value in settings.items()]))


def _wrapped(words: Sequence[str]) -> list[str]:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > _WIDTH:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + word
    return lines


def _uses(entry: Entry, sources: bool, formulas: bool) -> list[str]:
    """A line for each value in use, with who uses it and its formula; with `sources` a line for each row."""
    lines = []
    if not sources:
        users: dict[tuple[str, str], list[str]] = {}
        for use in entry.uses:
            users.setdefault((use.value, use.formula), []).append(use.row)
        for (value, text), names in users.items():
            line = f"    {', '.join(names)}: {value}"
            lines += _fitted(line, text)
        return lines
    width = max(len(use.row) for use in entry.uses)
    for use in entry.uses:
        line = f"  {use.row:<{width}}  {use.value}"
        if formulas and use.formula:
            lines += _fitted(line, use.formula, width + 4)
            line = " " * (width + 2)
        lines += _fitted(line, use.source, width + 4)
    return [line for line in lines if line.strip()]


def _fitted(line: str, more: str, indent: int = 8) -> list[str]:
    """Both on one line where they fit."""
    if not more:
        return [line]
    together = f"{line:<38}  {more}"
    if len(together) <= _WIDTH:
        return [together]
    margin = " " * indent
    return [line, *textwrap.wrap(more, _WIDTH, initial_indent=margin, subsequent_indent=margin)]


def _blocks(document: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The lines of code that a document holds, each under its heading."""
    blocks = []
    for mode in ("native", "controlled"):
        blocks += [(f"{name}, {mode}:", lines) for name, lines in document.get(mode, {}).items()]
    for name, lines in document.get("agree", {}).items():
        other = next((row for row in document["rows"] if row != name), name)
        blocks.append((f"{name}, to do as {other} does:", lines))
    return blocks


def _markdown(document: dict[str, Any]) -> str:
    lines = ["# Conventions", ""]
    if "cell" in document:
        lines += ["In " + ", ".join(f"`{key}` = {value}" for key, value in document["cell"].items()) + ".", ""]
    elif not document["rows"]:
        lines += [*_PREFACE, ""]
    for entry in document["conventions"]:
        lines += [f"## `{entry.name}`: {entry.title}", "", f"Shows first in: {entry.phase}.", ""]
        if not document["rows"] and "cell" not in document:
            lines += ["| value | formula |", "|---|---|"]
            lines += [f"| {value} | {text} |" for value, text in entry.values.items()] + [""]
        lines += ["| row | uses | formula | source |", "|---|---|---|---|"]
        for use in entry.uses:
            lines.append(f"| {use.row} | {use.value} | {use.formula} | {f'`{use.source}`' if use.source else ''} |")
        lines.append("")
    for heading, block in _blocks(document):
        lines += [f"## {heading.rstrip(':')}", "", "```python", *block, "```", ""]
    return "\n".join(lines).rstrip()


_PREFACE = (
    "Every way in which the backends read the same hyperparameters differently: the values that a convention can take,",
    "what each backend's native way uses, and the file of the library that shows it. `harness conventions` prints it,",
    "`harness conventions A B` only where two backends or profiles differ, and with an experiment the values in force",
    "and the lines that each framework is given. Formulas: lr is the learning rate, g the gradient with its penalties,",
    'n the rows of a batch. "given" is a number of the experiment, "none" what a framework does not have.',
    "This page is written by `harness conventions --format markdown -o docs/conventions.md`.",
)
