"""Draw, train, ask, judge: `python -m tests.foreign --seeds 100..159 --out results.json`, and `--outside`.

Trainings run in one process a framework, two searches at a time. Progress goes to standard error, the tables to
standard output, everything to the file.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.foreign import ask, outside
from tests.foreign.draw import Training, draw
from tests.foreign.judge import VERDICTS, Verdict, judge, judge_outside
from tests.foreign.reading import read


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.foreign", description=__doc__)
    parser.add_argument("--seeds", default="0..59", help="first..last, both included; with --outside the first counts")
    parser.add_argument("--outside", action="store_true", help="the twelve mechanisms that no row has")
    parser.add_argument("--out", type=Path, help="a JSON file for all descriptions, answers and verdicts")
    parser.add_argument("--folder", type=Path, help="where recordings are kept (default: a temporary folder)")
    parser.add_argument("--limit", type=float, default=ask.LIMIT, help="seconds of CPU for one search")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    first, _, last = options.seeds.partition("..")
    seeds = range(int(first), int(last or first) + 1)
    trainings = outside.all_of(seeds[0]) if options.outside else [draw(seed) for seed in seeds]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        train_all(trainings, folder)
        judged = ask_all(trainings, folder, options)
    if options.out:
        save(judged, options.out)
    print(table(judged, "family") if options.outside else table(judged, "framework") + "\n\n" + table(judged, "family"))
    print("\n" + totals(judged))


def train_all(trainings: list[Training], folder: Path) -> None:
    """Each framework in a process of its own; raises where one of them fails."""
    for framework in dict.fromkeys(training.framework for training in trainings):
        own = [t.as_json() for t in trainings if t.framework == framework and not recording(t, folder).exists()]
        if own:
            listed = folder / f"{framework}.json"
            listed.write_text(json.dumps(own))
            note(f"training {len(own)} in {framework}")
            command = [sys.executable, "-m", "tests.foreign.train", str(listed), str(folder)]
            ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if ended.returncode:
                raise RuntimeError(f"a training in {framework} failed: {ended.stderr[-2000:]}")


def recording(training: Training, folder: Path) -> Path:
    return folder / f"{training.seed}.npz"


def ask_all(trainings: list[Training], folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A description, an answer and a verdict of each, in the order of the trainings."""

    def one(training: Training) -> tuple[ask.Answer, Verdict]:
        path = recording(training, folder)
        answer = ask.ask(path, training, options.limit)
        if options.outside:
            return answer, judge_outside(answer, read(path))
        return answer, judge(answer, training, read(path))

    judged: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(options.processes) as pool:
        running = {pool.submit(one, training): training for training in trainings}
        for done in as_completed(running):
            training, (answer, verdict) = running[done], done.result()
            judged[training.seed] = {
                "training": training.as_json(),
                "answer": asdict(answer),
                "verdict": asdict(verdict),
            }
            if options.out:
                save(list(judged.values()), options.out)
            told = f"seed {training.seed}, {training.framework}, {training.family}: {verdict.kind}"
            note(f"{len(judged)} of {len(trainings)}  {told}, {answer.seconds:.0f} s  {verdict.why}")
    return [judged[training.seed] for training in trainings]


def save(judged: list[dict[str, Any]], out: Path) -> None:
    out.write_text(json.dumps(judged, indent=1, default=str) + "\n")


def table(judged: list[dict[str, Any]], by: str) -> str:
    """How many of each verdict, a line for each value of `by`."""
    groups: dict[str, list[str]] = {}
    for one in judged:
        groups.setdefault(one["training"][by], []).append(one["verdict"]["kind"])
    lines = [f"{by:26s}" + "".join(f"{kind:>12s}" for kind in VERDICTS)]
    for name, kinds in sorted(groups.items()):
        lines.append(f"{name:26s}" + "".join(f"{kinds.count(kind):12d}" for kind in VERDICTS))
    return "\n".join(lines)


def totals(judged: list[dict[str, Any]]) -> str:
    """One line."""
    kinds = [one["verdict"]["kind"] for one in judged]
    right = kinds.count("named") + kinds.count("equivalent")
    slowest = max(one["answer"]["seconds"] for one in judged)
    return (
        f"{len(kinds)} trainings: {right} named fully or in an equivalent form ({right / len(kinds):.0%}), "
        f"{kinds.count('false')} called found and false; the slowest search took {slowest:.0f} s of CPU"
    )


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
