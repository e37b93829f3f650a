"""A storm on `harness run`: `python -m tests.storm`, some minutes. Linux, since it looks for what is left in /proc.

Workers and whole runs are killed at random, and the same command is given again, until the plan is finished. Then
every planned trial has one row; `ok` rows have the bits of a run that nobody disturbed; and there is no traceback, no
process, no temporary file and no semaphore more than before.
"""

import argparse
import contextlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import pandas as pd

from harness.storage.results import Results
from harness.storage.store import METRICS, Store

ROOT = Path(__file__).resolve().parent.parent

EXACT = [*METRICS, "deviation", "deviation_first_epoch", "floor", "verdict", "epochs_run", "stack_size"]

MARK = "HARNESS_STORM"  # in the environment of everything that a storm starts

EXPERIMENT = """
name = "storm-{seed}"
[data]
name = "digits"
test_fraction = 0.2
validation_fraction = 0.1
scale = 16
[network]
hidden = [20]
activation = "tanh"
[training]
batch_size = 10
epochs = {epochs}
[sweep]
learning_rate = [{rates}]
[run]
backends = ["numpy", "sklearn", "torch"]
modes = ["controlled"]
seeds = {seeds}
seed = {seed}
"""


class Storm:
    """The weather of one experiment: `folder` holds all that it writes, `url` is the store that is under attack."""

    def __init__(self, folder: Path, url: str, asked: argparse.Namespace) -> None:
        self.folder, self.url, self.dice = folder, url, random.Random(asked.seed)
        self.server, self.away = (asked.stop, asked.start), asked.away
        self.stops = asked.stops if asked.stop and asked.start else 0
        self.mark = uuid.uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.faults: list[str] = []
        self.said = 0
        self.kills: Counter[str] = Counter()

    def start(self, experiment: Path, url: str, *options: str) -> subprocess.Popen[bytes]:
        """`harness run`, at the head of a group of its own."""
        self.said += 1
        command = [sys.executable, "-m", "harness", "run", str(experiment), "--store", url, "--quiet", *options]
        with (self.folder / f"said-{self.said}.txt").open("wb") as said:
            return subprocess.Popen(
                [*command, "--out", str(self.folder / "report")],
                cwd=ROOT,
                env={**os.environ, MARK: self.mark, "TMPDIR": str(self.temporary)},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def finish(self, experiment: Path, url: str, *options: str) -> pd.DataFrame:
        """An undisturbed run; gives its rows."""
        code = self.start(experiment, url, *options).wait()
        if code not in (0, 1):
            raise SystemExit(f"a run that nobody disturbed ended with {code}: {self.last_words()}")
        self.look_for_leftovers()
        return rows_of(url, experiment.stem)

    def disturb(self, experiment: Path, workers: int, seconds: float) -> int:
        """One run, of whose processes up to so many are killed, and which is itself killed after some seconds.

        While it has work to do the database is stopped, if it still has to be.
        Gives how many were killed; -1 where it came to its end.
        """
        run = self.start(experiment, self.url)
        while run.poll() is None and not children_of(run.pid):  # on a busy machine that takes a while
            time.sleep(0.05)
        if self.stops > 0 and run.poll() is None:
            self.restart_server()
        end = time.monotonic() + seconds
        killed = 0
        while time.monotonic() < end:
            time.sleep(self.dice.uniform(0.1, 1.0))
            if run.poll() is not None:
                return -1 if self.is_fine(run.returncode) else killed
            children = children_of(run.pid)
            if killed < workers and children and self.dice.random() < 0.8:
                victim = self.dice.choice(children)
                is_watcher = "watcher" in command_of(victim)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, self.dice.choice([signal.SIGKILL, signal.SIGTERM]))
                    killed += 1
                if is_watcher:
                    time.sleep(2)  # until there is another
        self.kill(run)
        return killed

    def kill(self, run: subprocess.Popen[bytes]) -> None:
        """End a run by force: it alone, its group, or it and all its workers at once; or tell it to end."""
        way = self.dice.choice(["run", "group", "all", "told"])
        self.kills[way] += 1
        workers = [pid for pid in children_of(run.pid) if "harness.execution.child" in command_of(pid)]
        with contextlib.suppress(ProcessLookupError):
            if way == "run":
                run.kill()
            elif way == "told":
                run.send_signal(self.dice.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
            else:
                os.killpg(run.pid, signal.SIGKILL)
            for pid in workers if way == "all" else ():
                os.kill(pid, signal.SIGKILL)
        code = run.wait()
        if way == "told" and code not in (0, 1, 130):
            self.faults.append(f"a run that was told to end ended with {code}: {self.last_words()}")
        self.look_for_leftovers()

    def is_fine(self, code: int) -> bool:
        """Whether a run ended as one does that only lost workers."""
        if code not in (0, 1):
            self.faults.append(f"a run ended with {code}: {self.last_words()}")
        self.look_for_leftovers()
        return code in (0, 1)

    def restart_server(self) -> None:
        """Stop the database for some seconds, while a run needs it."""
        stop, start = self.server
        self.stops -= 1
        time.sleep(self.dice.uniform(0, min(3, self.away)))
        subprocess.run(shlex.split(stop), check=True, stdout=subprocess.DEVNULL)
        time.sleep(self.dice.uniform(0, self.away))
        subprocess.run(shlex.split(start), check=True, stdout=subprocess.DEVNULL)
        print(f"the database was stopped and started, {self.stops} times more to come", flush=True)

    def last_words(self) -> str:
        """What the last run said."""
        return (self.folder / f"said-{self.said}.txt").read_text(errors="replace")[-2000:]

    def look_for_leftovers(self) -> None:
        """Nothing of a run outlives it by more than moments."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            processes, files = self.marked(), list(self.temporary.iterdir())
            if not processes and not files:
                break
            time.sleep(0.1)
        else:
            self.faults.append(f"left: {[command_of(pid) for pid in processes]}, {list(map(str, files))}")
        said = self.folder / f"said-{self.said}.txt"
        if "Traceback" in said.read_text(errors="replace"):
            self.faults.append(f"a traceback: {self.last_words()}")

    def marked(self) -> list[int]:
        """The processes of this storm that are still there."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and self.mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    with contextlib.suppress(OSError):
        threads = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return []


def command_of(pid: int) -> str:
    """The command line of a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return "(gone)"


def shared_memory() -> set[str]:
    """The names of what lies in shared memory, semaphores among it, and is not of a process that is alive."""
    folder = Path("/dev/shm")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {
        name
        for name in names
        if not name.startswith("PostgreSQL.")  # a server's own, for as long as it runs
        and not any(Path(f"/proc/{number}").exists() for number in re.findall(r"\d+", name))
    }


def rows_of(url: str, name: str) -> pd.DataFrame:
    """All planned trials of an experiment, by id."""
    store = Store(url, must_exist=True)
    try:
        return Results(store, name).frame().set_index("trial_id").sort_index()
    finally:
        store.close()


def write_experiment(folder: Path, seed: int, trials: int, epochs: int) -> Path:
    """So many trials in three backends: ten to a stack, in as many repeats as it takes."""
    rates = ", ".join(f"{0.02 * (1 + i):.2f}" for i in range(10))
    path = folder / f"storm-{seed}.toml"
    path.write_text(EXPERIMENT.format(seed=seed, rates=rates, seeds=trials // 30, epochs=epochs))
    return path


def weather(asked: argparse.Namespace, storm: Storm) -> None:
    """One experiment after another, each until it is finished, until all blows have fallen."""
    workers, runs = asked.kills, asked.run_kills
    seed = asked.seed
    while workers > 0 or runs > 0 or seed == asked.seed:
        experiment = write_experiment(storm.folder, seed, asked.trials, asked.epochs)
        undisturbed = storm.finish(experiment, f"sqlite:///{storm.folder}/undisturbed-{seed}.db")
        while workers > 0 or runs > 0:
            share = -(-workers // max(runs, 1))
            killed = storm.disturb(experiment, share, asked.seconds * storm.dice.uniform(0.3, 1.7))
            if killed < 0:
                break
            workers, runs = workers - killed, runs - 1
            print(f"{max(workers, 0)} workers and {max(runs, 0)} runs to kill {storm.faults or ''}", flush=True)
        storm.faults += differences(undisturbed, storm.finish(experiment, storm.url), crashed=True)
        storm.faults += differences(undisturbed, storm.finish(experiment, storm.url, "--retry-failed"), crashed=False)
        seed += 1
    print(f"ways to end a run: {dict(storm.kills)}; {seed - asked.seed} experiments")


def differences(undisturbed: pd.DataFrame, rows: pd.DataFrame, crashed: bool) -> list[str]:
    """In what the rows of a storm are not those of a quiet run; a trial may be `crashed` where somebody killed it."""
    if list(rows.index) != list(undisturbed.index):
        return [f"{len(rows)} rows of {len(undisturbed)} planned trials"]
    told = dict(rows["status"].value_counts())
    print(f"{len(rows)} rows: {told}", flush=True)
    wrong = set(told) - {"ok", *({"crashed"} if crashed else ())}
    faults = [f"trials are {status}" for status in wrong]
    ok = rows["status"] == "ok"
    for column in EXACT:
        ours, theirs = rows.loc[ok, column], undisturbed.loc[ok, column]
        unequal = ~((ours == theirs) | (ours.isna() & theirs.isna()))
        if unequal.any():
            faults.append(f"{column} is another in {int(unequal.sum())} rows: {rows[ok][unequal]['reason'].tolist()}")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Raise a storm, and say what did not stand it; the exit code is 1 where anything did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--store", help="its URL, such as postgresql+psycopg://HOST/NAME (default: a new SQLite file)")
    parser.add_argument("--trials", type=int, default=300, help="a multiple of thirty")
    parser.add_argument("--kills", type=int, default=60, help="of workers and watchers")
    parser.add_argument("--run-kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=8.0, help="that a run has on average")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop", help="the command that stops the database, in the middle of a run")
    parser.add_argument("--start", help="the command that starts it again")
    parser.add_argument("--stops", type=int, default=2, help="how often, where both are given")
    parser.add_argument("--away", type=float, default=20.0, help="for how many seconds at most")
    asked = parser.parse_args(arguments)
    if asked.trials < 30 or asked.trials % 30:
        parser.error("--trials: three backends with ten trials to a stack take a multiple of thirty")
    before = shared_memory()
    with tempfile.TemporaryDirectory(prefix="storm-") as name:
        folder = Path(name)
        url = asked.store or f"sqlite:///{folder}/storm.db"
        storm = Storm(folder, url, asked)
        weather(asked, storm)
    end = time.monotonic() + 60
    while (left := shared_memory() - before) and time.monotonic() < end:
        time.sleep(1)  # those of other programs come and go
    faults = storm.faults + [f"in shared memory: {name}" for name in sorted(left)]
    print("\n".join(faults) or "nothing was lost, doubled, changed or left behind")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
