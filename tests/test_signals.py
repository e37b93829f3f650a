"""Ctrl-C and the signals that mean the same: one line, exit code 130, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import small_table
from tests.test_executor import is_running, wait_until
from tests.test_run import children_of, stored_rows, write_experiment

pytestmark = pytest.mark.skipif(os.name != "posix", reason="these signals are POSIX's")

ROOT = Path(__file__).resolve().parent.parent

LINE = "interrupted; what is finished is stored, run the same command again to go on"

COMMAND = """
import os, signal, sys
sys.path.insert(0, {root!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs behind itself ignores Ctrl-C
import harness.cli
hear = harness.cli.hear
def heard():
    hear()
    os.write(1, b"heard")
harness.cli.hear = heard
{backends}
harness.cli.main(["run", {path!r}, "--store", {store!r}, "--out", {out!r}])
"""

SLOW = """
from harness import registry
from harness.manifest import Backend
registry.BUILT_IN += (Backend("slow", "tests.faults:Slow", ("numpy",)),)
"""


@pytest.fixture
def begin(tmp_path, store):
    """Starts `harness run`, in a terminal's place: it leads a group, which the signals go to."""
    (tmp_path / "tmp").mkdir()

    def start(backends=SLOW, **kwargs):
        # `nohup` makes all that it starts deaf to hanging up
        kwargs.setdefault("preexec_fn", lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        table = small_table()
        table["run"].update(backends=["numpy", "slow"], modes=["controlled"], seeds=2)
        path, out = write_experiment(tmp_path, table), tmp_path / "report"
        code = COMMAND.format(root=str(ROOT), path=str(path), store=store, out=str(out), backends=backends)
        environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
        run = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **kwargs,
        )
        assert run.stdout.read(5) == "heard"
        return run

    return start


def send(run, *numbers):
    for number in numbers:
        if run.poll() is None:
            os.killpg(run.pid, number)
        time.sleep(0.02)


def ended(run):
    """The lines on standard error of a run that was told to end."""
    _, told = run.communicate(timeout=120)
    assert "Traceback" not in told, told
    assert run.returncode == 130
    return [line for line in told.splitlines() if line]


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT,), (signal.SIGINT,) * 5, (signal.SIGTERM,), (signal.SIGHUP,)], ids=str
)
def test_a_signal_ends_a_run_with_the_line_that_says_how_to_go_on(begin, store, tmp_path, numbers):
    run = begin()
    wait_until(lambda: len(stored_rows(store)) >= 2 and children_of(run.pid))
    children = children_of(run.pid)
    send(run, *numbers)
    assert ended(run)[-1] == LINE
    assert not any(map(is_running, children))
    assert list((tmp_path / "tmp").iterdir()) == []
    before = stored_rows(store)
    again = begin()
    again.communicate(timeout=240)
    assert again.returncode == 0
    after = stored_rows(store)
    assert len(after) == 16
    assert before.items() <= after.items()


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 0.6, 1.0, 2.0])
def test_ctrl_c_in_the_first_moments_gives_one_line_too(begin, tmp_path, seconds):
    run = begin()
    time.sleep(seconds)
    send(run, *[signal.SIGINT] * 5)
    assert ended(run)[-1].startswith("interrupted")
    wait_until(lambda: list((tmp_path / "tmp").iterdir()) == [])


def test_a_hang_up_that_is_ignored_stays_ignored(begin, store):
    run = begin(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as `nohup` does
    wait_until(lambda: len(stored_rows(store)) >= 1)
    send(run, signal.SIGHUP)
    wait_until(lambda: len(stored_rows(store)) >= 4)
    send(run, signal.SIGINT)
    assert ended(run)[-1] == LINE


AT_A_BAD_MOMENT = """
import os, signal, sys, time
sys.path[:0] = {paths!r}
from harness.support.interrupts import hear
signal.signal(signal.SIGINT, signal.default_int_handler)
hear()
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
try:
    {moment}
    time.sleep(100)
except KeyboardInterrupt:
    print("heard", getattr(sys.modules.get("itself"), "whole", None))
"""


@pytest.mark.parametrize(("moment", "told"), [("import itself", "heard True"), ("Finalized()", "heard None")])
def test_ctrl_c_waits_for_the_end_of_an_import_and_of_a_finalizer(tmp_path, moment, told):
    (tmp_path / "itself.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhole = True\n")
    code = AT_A_BAD_MOMENT.format(paths=[str(ROOT), str(tmp_path)], moment=moment)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{told}\n", "")


def test_ctrl_c_does_not_wait_for_an_import_that_never_ends(tmp_path):
    (tmp_path / "endless.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(99)\n"
    )
    code = AT_A_BAD_MOMENT.format(paths=[str(ROOT), str(tmp_path)], moment="import endless")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("heard None\n", "")


def test_nothing_rings_after_the_end(tmp_path):
    # as an interpreter does that ends: it gives the handlers back; an alarm left running would kill it then
    moment = "Finalized()\n    os.kill(os.getpid(), signal.SIGINT)"
    code = AT_A_BAD_MOMENT.format(paths=[str(ROOT)], moment=moment)
    code += "signal.signal(signal.SIGALRM, signal.SIG_DFL)\ntime.sleep(0.1)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard None\n", "")
