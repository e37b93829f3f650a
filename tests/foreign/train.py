"""Train descriptions in a process of their own: `python -m tests.foreign.train LIST.json FOLDER`."""

import importlib
import json
import sys
from pathlib import Path

from tests.foreign.draw import Training


def main(listed: Path, folder: Path) -> None:
    """The list holds trainings as JSON; each is written to `SEED.npz`."""
    for description in json.loads(listed.read_text()):
        training = Training(**description)
        inside = "optimizer" in training.truth
        user = importlib.import_module(
            f"tests.foreign.{training.framework}_user" if inside else "tests.foreign.outside"
        )
        user.train(training, folder / f"{training.seed}.npz")
        print(training.seed, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
