"""`harness schema`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.export import write
from harness.experiment.schema import schema

EXAMPLES = (
    "harness schema -o harness.schema.json",
    'echo "#:schema ./harness.schema.json"   # as the first line of an experiment file, for editors',
)


def command(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Instead of the screen.")
    ] = None,
) -> None:
    """Write the JSON schema of experiment files, by which an editor completes and checks them."""
    write((json.dumps(schema(), indent=1, ensure_ascii=False) + "\n").encode(), output)
