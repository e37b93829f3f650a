"""Ask the tool as a user does: `harness explain RUN.npz --json`, with a limit of its time."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.foreign.draw import Training

HARNESS = Path(sys.executable).with_name("harness")
LIMIT = 90.0
"""CPU seconds that a search may take; others may be busy on the machine, so that a clock would not be fair."""
WAITS = 10
"""By so much the clock may show more."""


@dataclass(frozen=True)
class Answer:
    """What came back: the object's `result`, or None and the last lines of what was said. Seconds are of CPU."""

    exit_code: int | None
    result: dict[str, Any] | None
    said: str
    seconds: float


def ask(run: Path, training: Training | None, limit: float = LIMIT) -> Answer:
    """Without an experiment, where the tool can do that; else with one that says what its user knows."""
    answer = call([str(run)], limit)
    if answer.exit_code == 2 and training is not None and ("Missing" in answer.said or "argument" in answer.said):
        answer = call([str(write_experiment(run, training)), str(run)], limit)
    return answer


def call(arguments: list[str], limit: float) -> Answer:
    folder = Path(arguments[-1]).parent
    command = ["sh", "-c", f'ulimit -t {limit:.0f}; exec "$@"', "sh", str(HARNESS), "explain", *arguments]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([*command, "--json", "--quiet"], stdout=out, stderr=errors, cwd=folder)
        too_long = threading.Timer(WAITS * limit, process.kill)
        too_long.start()
        _, status, used = os.wait4(process.pid, 0)
        too_long.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = used.ru_utime + used.ru_stime
        out.seek(0)
        errors.seek(0)
        told, said = out.read(), " ".join(errors.read().strip().splitlines()[-3:])[-400:]
    if process.returncode < 0:
        return Answer(None, None, f"killed after {seconds:.0f} s of CPU; the limit is {limit:g}", seconds)
    try:
        return Answer(process.returncode, json.loads(told)["result"], said, seconds)
    except (ValueError, KeyError):
        return Answer(process.returncode, None, said, seconds)


def write_experiment(run: Path, training: Training) -> Path:
    """The network, the loss, the rate and the batches, as their user knows them; all conventions are the defaults."""
    with np.load(run) as file:
        X, y, told = file["X"], file["y"], json.loads(str(file["settings"]))
        rates = file.get("learning_rate")
    data = run.with_suffix(".data.npz")
    np.savez(data, X=X, y=y)
    t = training.truth
    rate = told.get("learning_rate", 0.01 if rates is None else float(rates[0]))
    lines = [
        f'name = "foreign-{run.stem}"',
        "[data]",
        f'path = "{data.name}"',
        'target = "y"',
        f'task = "{t["task"]}"',
        "test_fraction = 0",
        "[network]",
        f"hidden = {list(training.hidden)}",
        f"activation = {json.dumps(t['activation'])}",
        "[training]",
        f"learning_rate = {rate!r}",
        f"batch_size = {min(training.batch_size, len(X))}",
        f"epochs = {training.epochs}",
    ]
    if t["task"] == "regression":
        lines.append(f'loss = "{t["loss"]}"')
    if t["loss"] == "huber":
        lines.append(f"huber_delta = {t['huber_delta']}")
    file = run.with_suffix(".toml")
    file.write_text("\n".join(lines) + "\n")
    return file
