"""Whether two commits plan, draw, say and train the same, on this machine.

    python -m tools.compare OLD NEW              # NEW may be ".", the working tree
    python -m tools.compare OLD . --no-trainings # plans, draws, rows and lines only: some seconds

Each commit writes its own snapshot (`tools/snapshot.py`, `tools/trainings.py`) from a worktree of its own, with this
interpreter and the conditions of a worker; then every entry is compared. Weights are compared bit by bit; where bits
differ, the largest difference stands beside the largest floor. Exit code 1 when anything differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
MOST_SHOWN = 5


@contextmanager
def tree(commit: str) -> Iterator[Path]:
    """A worktree of the commit; "." is the working tree as it stands."""
    if commit == ".":
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", str(path), commit], cwd=ROOT, check=True)
        try:
            yield path
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(path)], cwd=ROOT, check=True)


def write(commit: str, folder: Path, trainings: bool) -> None:
    """Let a commit write all that is compared."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "CUDA_VISIBLE_DEVICES": "-1"}
    with tree(commit) as path:
        environment["PYTHONPATH"] = str(path)
        for tool in ("tools.snapshot", *(["tools.trainings"] if trainings else [])):
            subprocess.run([sys.executable, "-m", tool, str(folder)], cwd=path, env=environment, check=True)


def differences(old: Path, new: Path) -> Iterator[str]:
    """One line an entry that differs, of every file that either folder has."""
    for name in sorted({path.name for folder in (old, new) for path in folder.glob("*.*") if path.suffix != ".db"}):
        pair = (old / name, new / name)
        if not all(path.exists() for path in pair):
            yield f"{name}: only in one of the two"
        elif name.endswith(".json"):
            yield from (f"{name}: {line}" for line in _unequal(*(json.loads(path.read_text()) for path in pair)))
        elif name.endswith(".npz"):
            yield from (f"{name}: {line}" for line in _unequal_arrays(*pair))
        elif pair[0].read_bytes() != pair[1].read_bytes():
            yield f"{name}: another text"


def _unequal(old: Any, new: Any, where: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            here = f"{where} / {key}" if where else key
            if key not in old or key not in new:
                yield f"{here}: {'new' if key in new else 'gone'}"
            else:
                yield from _unequal(old[key], new[key], here)
    elif old != new:
        yield f"{where}: {_short(old)} became {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _unequal_arrays(old: Path, new: Path) -> Iterator[str]:
    """Entries of two NPZ files that are not equal bit for bit, with the largest difference."""
    with np.load(old) as before, np.load(new) as after:
        for key in sorted({*before.files, *after.files}):
            if key not in before.files or key not in after.files:
                yield f"{key}: {'new' if key in after.files else 'gone'}"
                continue
            a, b = before[key], after[key]
            if a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes():
                continue
            numbers = a.shape == b.shape and a.dtype.kind == b.dtype.kind == "f"
            yield f"{key}: " + (f"by {np.nanmax(np.abs(a - b)):.1e}" if numbers else f"{a!s} became {b!s}"[:200])


def main() -> int:
    """Compare two commits; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--no-trainings", action="store_true")
    parser.add_argument("--all", action="store_true", help=f"show every difference, not {MOST_SHOWN} a file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sides = (Path(folder) / "old", Path(folder) / "new")
        for commit, side in zip((arguments.old, arguments.new), sides, strict=True):
            write(commit, side, not arguments.no_trainings)
        found = list(differences(*sides))
    shown: dict[str, int] = {}
    for line in found:
        name = line.partition(":")[0]
        shown[name] = shown.get(name, 0) + 1
        if arguments.all or shown[name] <= MOST_SHOWN:
            print(line)
    for name, count in shown.items():
        print(f"{name}: {count} entries differ", file=sys.stderr)
    if not found:
        print("nothing differs")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
