"""`harness trace`."""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer

from harness.cli import completion
from harness.cli.options import CellOption, JsonOption, QuietOption, pick_cell
from harness.cli.output import Output
from harness.experiment.file import load
from harness.recording.file import read
from harness.support.errors import RequestError, unknown
from harness.tracing.peeling import MOST_STEPS, Cause
from harness.tracing.trace import Divergence, Trace, trace, trace_names

EXAMPLES = (
    "harness trace mine.npz theirs.npz             # two recordings, see docs/recording.md",
    "harness trace digits-quick keras torch --cell learning_rate=0.1,l2=0.001",
    "harness trace digits-quick controlled numpy --mode controlled --cell learning_rate=0.1,l2=0.001",
)

WIDTH = 100
_MODES = ("native", "controlled")


def command(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="[EXP] A B",
            help="An experiment and two backends or profiles; or two files.",
            autocompletion=completion.experiment_or_side,
        ),
    ],
    cell: CellOption = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Which repeat, from 0.")] = 0,
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="native (declared ways), controlled (adapters).")
    ] = "native",
    steps: Annotated[int, typer.Option(metavar="N", help="How many steps are walked.")] = MOST_STEPS,
    output: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE.json", help="Write it as JSON.")] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Find the first step, phase and tensor in which two trainings part, and name the causes one by one."""
    if mode not in _MODES:
        raise RequestError(f"--mode: {unknown('mode', mode, _MODES)}")
    if seed < 0 or steps < 1:
        raise RequestError(f"--seed {seed}, --steps {steps}: must be at least 0 and 1")
    if output is not None:
        _check(output)
    if len(given) == 2:
        found = trace(_read(given[0]), _read(given[1]), steps=steps)
    elif len(given) == 3:
        asked = load(given[0])
        found = trace_names(asked, (given[1], given[2]), pick_cell(asked, cell), seed, mode, steps)
    else:
        raise RequestError(f"{len(given)} arguments; expected EXP A B, or two recordings A.npz B.npz")
    told = Output("trace", quiet, as_json)
    told.say("\n".join(lines(found)))
    if output is not None:
        _write(found, output)
        told.note(f"wrote {output}")
    return told.finish(_plain(asdict(found)))


def _read(name: str) -> Any:
    if not name.endswith(".npz"):
        raise RequestError(
            f"{name}: two arguments are two recordings (.npz); names stand behind an experiment: EXP A B"
        )
    return read(Path(name))


def lines(found: Trace) -> list[str]:
    """What was found as plain text."""
    told = [f"A: {found.a}", f"B: {found.b}", ""]
    if found.drawn is not None:
        told += ["First divergence, in what was drawn; from here on B is walked on A's start and batches:"]
        told += [*_divergence(found.drawn), ""]
    told += ["First divergence, free-running:", *_divergence(found.free), ""]
    told += ["First divergence, teacher-forced (each step of B computed again as A does it):"]
    told += [*_divergence(found.forced), ""]
    told += [fill(note, WIDTH) for note in found.notes]
    if found.unnamed_a:
        told.append(fill(f"A itself follows no row of the table; what is left of it: {found.unnamed_a}.", WIDTH))
    if not found.causes:
        told.append("No cause: B does what A does." if not found.unnamed else "No cause could be named.")
    for number, cause in enumerate(found.causes, start=1):
        told += _cause(number, cause)
    told += ["", ending(found)]
    return told


def ending(found: Trace) -> str:
    """The last line."""
    if found.unnamed:
        return fill(f"What is left cannot be named: {found.unnamed}.", WIDTH)
    return f"Only rounding is left, over {found.steps} steps."


def _divergence(found: Divergence | None) -> list[str]:
    if found is None:
        return ["  none: only rounding"]
    at = f"[{', '.join(map(str, found.index))}]" if found.index else ""
    if math.isinf(found.size):
        return [
            f"  step {found.step} (epoch {found.epoch}), {found.phase}, {found.tensor}",
            f"  A {found.a}, B {found.b}",
        ]
    size = f"apart by {found.size:.3g}, floor {found.floor:.1e}" if found.floor else f"apart by {found.size:.3g}"
    return [
        f"  step {found.step} (epoch {found.epoch}), {found.phase}, {found.tensor}{at}",
        f"  A {shown(found.a)}, B {shown(found.b)}: {size}",
    ]


def _cause(number: int, cause: Cause) -> list[str]:
    head = f"{number}. {cause.title}: {shown(cause.assumed)} -> {shown(cause.found)}  ({cause.name})"
    told = [head, _effect(cause), *fill(cause.evidence, WIDTH - 3).splitlines()]
    if cause.guess:
        told.append("a guess: with it the replay follows for more steps, and not for all")
    if cause.before:
        what = "largest residual, all causes of this phase together" if cause.together else "largest residual"
        told.append(f"{what}: {cause.before:.2g} floors before, {cause.after:.2g} after")
    return [told[0], *(f"   {line}" for line in told[1:])]


def _effect(cause: Cause) -> str:
    if cause.effect is None:
        return "effect: not measured, as it cannot be undone alone"
    if math.isinf(cause.effect):
        return "effect: undone alone, the training of B overflows"
    share = "below 1" if cause.effect < 0.005 else f"{100 * cause.effect:.0f}"
    return f"effect: {share} % of what all causes together do to the last weights"


def shown(value: Any) -> str:
    """A value as plain text; ('relu',) as relu."""
    if isinstance(value, tuple) and value and len(set(value)) == 1 and isinstance(value[0], str):
        return value[0]
    if value is None:
        return "none"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _check(path: Path) -> None:
    """Before the work, not after it: can the file be written?"""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise RequestError(f"--out {path}: cannot be written; give a file in a folder that is there")


def _write(found: Trace, path: Path) -> None:
    try:
        text = json.dumps(_plain(asdict(found)), indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RequestError(f"--out {path}: cannot be written: {error.strerror}; give another file") from None


def _plain(value: Any) -> Any:
    """JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
