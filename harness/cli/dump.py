"""`harness dump`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.options import CellOption, ExperimentArgument, QuietOption, pick_cell
from harness.cli.output import Output
from harness.support.errors import RequestError

EXAMPLES = ("harness dump digits-quick --backend torch --cell learning_rate=0.1,l2=0.001 -o trial.npz",)


def command(
    experiment: ExperimentArgument,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="Which backend trains it.", autocompletion=completion.backend_name)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.npz", help="The file to write.")],
    cell: CellOption = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Which repeat, from 0.")] = 0,
    quiet: QuietOption = False,
) -> None:
    """Write everything that goes into one controlled trial and comes out of it, to redo it by hand."""
    from harness.experiment.file import load
    from harness.recording.dump import dump

    asked = load(experiment)
    if seed < 0:
        raise RequestError(f"--seed {seed}: must be at least 0")
    dump(asked, backend, pick_cell(asked, cell), seed, output)
    Output("dump", quiet).note(f"wrote {output}")
