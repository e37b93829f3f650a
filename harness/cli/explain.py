"""`harness explain`."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from harness.cli import completion
from harness.cli.options import CellOption, JsonOption, QuietOption, make_folder, pick_cell
from harness.cli.output import Output
from harness.cli.trace import shown
from harness.contract import Config
from harness.conventions.table import CONVENTIONS
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Experiment, load
from harness.explaining.explainer import SEEDS, check_sides, explain_cells
from harness.explaining.explanation import Explanation, write
from harness.explaining.ladder import climb
from harness.explaining.sentences import WIDTH, listed, table_lines
from harness.planning.plan import plan
from harness.recording.file import Recording, read
from harness.registry import native_backends
from harness.support.errors import RequestError
from harness.tracing.identify import identify
from harness.tracing.peeling import Identified
from harness.tracing.sentences import assumed, plain_equal, sentence, untold
from harness.tracing.settings import config_of

EXAMPLES = (
    "harness explain digits-quick sklearn keras --cell learning_rate=0.1,l2=0.001",
    "harness explain digits-grid keras torch      # five telling cells of the 49",
    "harness explain notebook-2018 course-2018-numpy course-2018-keras --seeds 8",
    "harness explain notebook-2018 course-2018-numpy course-2018-keras --ladder",
    "harness explain recorded.npz                  # under which conventions was this trained?",
    "harness explain digits-quick recorded.npz     # the same; what it does not say of itself, the experiment does",
)


def command(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXP",
            help="An experiment file (.toml), or the name of a suite; or a recording (.npz) alone.",
            autocompletion=completion.experiment_or_side,
        ),
    ],
    a: Annotated[
        str | None,
        typer.Argument(
            metavar="[A]",
            help="A backend, a profile, controlled, or a recording (.npz).",
            autocompletion=completion.side_name,
        ),
    ] = None,
    b: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="What A is compared with.", autocompletion=completion.side_name),
    ] = None,
    cell: CellOption = "",
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help=f"Repeats 0 to N-1, at least 2 (default: {SEEDS}).")
    ] = None,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="The heatmap of A, one convention after the other, until it is B's.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Where picture and JSON go (default: results/NAME/)."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Name the conventions that make two backends differ: how large the gap is, whose share is whose, what closes it.

    Without --cell five telling cells are explained. Of one recording it is said under which conventions it was trained.
    Exit code: 0, also where nothing differs; 1 a training crashed or timed out, or no conventions explain the
    recording; 2 the request itself was wrong.
    """
    output = Output("explain", quiet, as_json)
    if a is None:
        given = {"--cell": bool(cell), "--seeds": seeds is not None, "--ladder": ladder, "--out": out is not None}
        return _identify_alone(experiment, given, output)
    asked = load(experiment)
    _check_options(a, b, {"--seeds": seeds is not None, "--ladder": ladder, "--out": out is not None}, ladder)
    if b is None:
        return _identify(asked, Path(a), cell, output)
    if ladder:
        return _climb(asked, a, b, cell, out, output)
    chosen = [pick_cell(asked, cell)] if cell else None
    if chosen is None and len(list(asked.cells())) == 1:
        chosen = list(asked.cells())
    check_sides(a, b)
    folder = out or Path("results") / asked.name
    make_folder(folder)
    explanations = explain_cells(asked, a, b, chosen, SEEDS if seeds is None else seeds, progress=not quiet)
    show(explanations, output)
    files = _wrote(write(explanations, folder), output)
    cells = [explanation.to_dict() for explanation in explanations]
    return output.finish({"cells": cells, "files": files}, int(any(found.failed for found in explanations)))


def _wrote(files: list[Path], output: Output) -> list[Path]:
    for path in files:
        output.note(f"wrote {path}")
    return files


def _check_options(a: str, b: str | None, given: dict[str, bool], ladder: bool) -> None:
    """Raise `RequestError` for an option that would have no effect."""
    idle = [option for option, here in given.items() if here]
    if b is None and a.endswith(".npz") and idle:
        raise RequestError(f"{', '.join(idle)}: needs A and B, and has no meaning for the recording {a}; leave it out")
    if b is not None and ladder and "--seeds" in idle:
        raise RequestError("--seeds: stands beside --ladder, which shows repeat 0; leave one of them out")


def show(explanations: Sequence[Explanation], output: Output = Output("explain")) -> None:
    """Everything that was found, for a person; sentences are broken into lines."""
    for number, explanation in enumerate(explanations):
        if number:
            output.say("\n" + "-" * WIDTH)
        for paragraph in explanation.text.splitlines():
            output.say(textwrap.fill(paragraph, WIDTH, break_on_hyphens=False, break_long_words=False))
        table = table_lines(explanation)
        if table:
            output.say("\n".join(["", *table]))
        for framework, lines in explanation.keywords.items():
            output.say(f"\nto agree, in {framework}:")
            output.say("\n".join(f"  {line}" for line in lines))
        codes = [name for name in dict.fromkeys((explanation.a, explanation.b)) if name not in native_backends()]
        if codes and explanation.findings is not None and explanation.findings.closing:
            where = f"harness conventions EXP {explanation.a} {explanation.b}"
            output.say(f"\nto agree, in {' and '.join(codes)}: no framework, so no keyword arguments; see {where}")


def _climb(experiment: Experiment, a: str, b: str, cell: str, out: Path | None, output: Output) -> int:
    """The heatmaps from A to B, all cells of repeat 0."""
    if cell:
        raise RequestError(f"--cell {cell!r}: stands beside --ladder, which shows every cell; leave one of them out")
    check_sides(a, b)
    folder = out or Path("results") / experiment.name
    make_folder(folder)
    found = climb(experiment, a, b, progress=not output.quiet)
    output.say(found.text())
    files = _wrote(found.write(folder), output)
    return output.finish({"a": a, "b": b, "rungs": found.table().to_dict("records"), "files": files})


def _identify_alone(name: str, given: dict[str, bool], output: Output) -> int:
    """A recording without an experiment: its own settings say what was asked for."""
    if not name.endswith(".npz"):
        raise RequestError(f"{name}: A is missing: harness explain EXP A B, or a recording: harness explain RUN.npz")
    idle = [option for option, here in given.items() if here]
    if idle:
        raise RequestError(f"{', '.join(idle)}: has no meaning for the recording {name} alone; leave it out")
    recording = read(Path(name))
    return _name(Path(name), recording, config_of(recording), output)


def _identify(experiment: Experiment, path: Path, cell: str, output: Output) -> int:
    """A recording, of which the experiment says what its settings do not."""
    if path.suffix != ".npz":
        raise RequestError(
            f"{path}: B is missing: harness explain EXP A B, or a recording: harness explain EXP RUN.npz"
        )
    recording = read(path)
    asked = pick_cell(experiment, cell)
    single = experiment.alone("native", seeds=1)
    trial = next(trial for trial in plan(single, load_datasets(single)) if trial.cell == asked)
    return _name(path, recording, config_of(recording, trial.config), output)


def _name(path: Path, recording: Recording, config: Config, output: Output) -> int:
    """Print under which row of the table the replay follows a recording, or how near it comes."""

    def search(config: Config) -> Identified:
        return identify(recording, config, progress=lambda line: output.note(f"  {line}"))

    unsaid = config.loss.name == "mse" and not {"loss", "task"} & set(recording.settings)
    if unsaid and set(np.unique(recording.y)) <= {0, 1}:
        output.note("  the settings name no loss, and all targets are 0 or 1: binary cross entropy, or else squares")
        binary = {**recording.settings, "loss": "binary_cross_entropy"}
        found = search(config_of(replace(recording, settings=binary)))
        found = found if found.followed else search(config)
    else:
        found = search(config)
    output.say(f"{path}: {found.steps} of {found.of} steps walked")
    if found.followed:
        output.say(_wrapped(f"Found: {sentence(found, recording)}"))
    else:
        output.say(_wrapped(f"Not found: no row of the table explains this training: {found.unnamed}."))
    for cause in found.causes:
        guess = " (a guess)" if cause.guess or not found.followed else ""
        output.say(f"  {cause.title}: {shown(cause.found)} (assumed: {shown(cause.assumed)}){guess}: {cause.evidence}")
    apart = f", but for {listed([CONVENTIONS[name].title for name in found.differs])}" if found.differs else ""
    deviation, floor = (_number(value) for value in (found.deviation, found.floor))
    taken, unknown = assumed(recording, found), untold(recording, found)
    if taken:
        output.say(_wrapped(f"Assumed: {'; '.join(taken)}."))
    if found.followed:
        if unknown:
            output.say("Cannot be told:")
            output.say("\n".join(_wrapped(f"- {line}", "    ") for line in unknown))
        output.say(f"The row with most in common with it: {found.nearest}{apart}.")
        output.say(f"The replay follows the recording to the floor: deviation {deviation}, floor {floor}.")
    else:
        output.say(f"The nearest row: {found.nearest}{apart}; deviation {deviation}, floor {floor}.")
    said = sentence(found, recording) if found.followed else None
    result = asdict(found) | {"sentence": said, "assumed": taken, "cannot_be_told": unknown}
    # a law that none of the table's explains is not the harness's own
    unnamed = [cause.name for cause in found.causes if cause.phase in ("start", "order") and cause.found is None]
    result["row"] |= dict.fromkeys(unnamed)
    return output.finish(result | {"equal": plain_equal(found)}, 0 if found.followed else 1)


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False, subsequent_indent=indent)


def _number(value: float | None) -> str:
    """Two digits, or what stands for none."""
    return "unknown" if value is None else f"{value:.1e}"
