"""Timing: what repeats can say, and a protocol that cannot flatter anybody. No claim here rests on a clock."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import invoke
from harness.contract import vary
from harness.reference.trainer import Reference
from harness.timing import work
from harness.timing.cases import Case
from harness.timing.contender import Contender, Failed
from harness.timing.intervals import median_interval, paired_ratio
from harness.timing.protocol import Measurement, Series, measure_case, steady
from harness.timing.summary import frame, summarise
from harness.timing.work import Slice
from reports.speed import page, pictures, tables

TIMES = st.floats(1e-6, 1e3)


def test_seven_repeats_give_smallest_to_largest():
    found = median_interval([5.0, 1.0, 7.0, 2.0, 6.0, 3.0, 4.0])
    assert (found.median, found.low, found.high) == (4.0, 1.0, 7.0)
    assert found.confidence == 1 - 2 / 2**7  # all seven on one side of the true median


def test_more_repeats_leave_the_outermost_out():
    found = median_interval(range(1, 12))  # the table of the sign test: the second smallest of 11 gives 98.8 %
    assert (found.low, found.high) == (2, 10)
    assert found.confidence == pytest.approx(0.98828, abs=1e-5)
    assert median_interval(range(1, 12), confidence=0.99).low == 1


def test_too_few_repeats_are_refused():
    assert median_interval(range(6)).confidence >= 0.95
    with pytest.raises(ValueError, match="5 values cannot"):
        median_interval(range(5))
    with pytest.raises(ValueError, match="finite"):
        median_interval([1.0, float("nan"), *range(7)])


@pytest.mark.parametrize("n", [7, 8, 15, 30])
def test_the_interval_holds_the_true_median_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    found = [median_interval(values) for values in rng.lognormal(size=(2000, n))]  # the true median is 1
    held = np.mean([interval.low <= 1 <= interval.high for interval in found])
    assert held == pytest.approx(found[0].confidence, abs=0.015)


@given(st.lists(st.tuples(TIMES, TIMES), min_size=7, max_size=20))
def test_a_ratio_turned_round_says_the_opposite(pairs):
    a, b = zip(*pairs, strict=True)
    there, back = paired_ratio(a, b), paired_ratio(b, a)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))
    opposite = {"faster": "slower", "slower": "faster", "no difference": "no difference"}
    assert there.low == 1 or there.high == 1 or back.verdict == opposite[there.verdict]


def test_pairing_takes_out_what_drifts():
    rng = np.random.default_rng(0)
    drift = np.linspace(1, 10, 7)  # the machine becomes ten times slower
    a, b = (drift * factor * rng.lognormal(sigma=0.01, size=7) for factor in (1.1, 1.0))
    assert paired_ratio(a, b).verdict == "slower"
    assert median_interval(a).low < median_interval(b).high  # apart, nothing could be claimed


def test_what_is_no_pair_is_refused():
    with pytest.raises(ValueError, match="no pairs"):
        paired_ratio([1.0] * 7, [1.0] * 8)
    with pytest.raises(ValueError, match="above 0"):
        paired_ratio([1.0] * 7, [0.0] * 7)


class Machine:
    """A simulated machine: its speed drifts, and now and then somebody else is in the way."""

    def __init__(self, seed, noise=0.03, outliers=0.15):
        self.rng = np.random.default_rng(seed)
        self.noise, self.outliers = noise, outliers
        self.slowness = 0.0

    def seconds(self, cost):
        self.slowness += 0.01 * self.rng.standard_normal()
        late = self.rng.exponential(2) if self.rng.random() < self.outliers else 0
        seconds = cost * np.exp(self.slowness + self.noise * self.rng.standard_normal()) * (1 + late)
        return Slice(float(seconds), not late or self.rng.random() < 0.1)  # some go unnoticed


class Simulated:
    """What the protocol asks of a process, without one."""

    def __init__(self, cost, machine, epoch_seconds=0.015, log=None):
        self.cost, self.machine, self.epoch_seconds = cost, machine, epoch_seconds
        self.log = [] if log is None else log

    def ask(self, name, *arguments):
        return self.epoch_seconds

    def ask_waiting(self, word):
        self.log.append((self.cost, word))
        return self.machine.seconds(self.cost)


CASE = Case(width=4, depth=1, batch_size=8, rows=20)


def timed(costs, machine, rng, **kwargs):
    found = {name: Series() for name in costs}
    contenders = {name: Simulated(cost, machine, **kwargs) for name, cost in costs.items()}
    steady(contenders, found, CASE, 7, rng, phases=("epoch",))
    return {name: series.seconds["epoch"] for name, series in found.items()}


def test_a_against_a_is_no_difference_and_ten_percent_are_seen():
    rng = np.random.default_rng(0)
    false = seen = 0
    for cell in range(400):
        seconds = timed({"a": 1.0, "again": 1.0, "slowed": 1.1}, Machine(cell), rng)
        false += paired_ratio(seconds["again"], seconds["a"]).verdict != "no difference"
        seen += paired_ratio(seconds["slowed"], seconds["a"]).verdict == "slower"
    assert false <= 0.07 * 400
    assert seen >= 0.8 * 400


def test_backends_take_turns_in_an_order_drawn_anew():
    log = []
    timed({"a": 1.0, "b": 2.0, "c": 3.0}, Machine(0, outliers=0), np.random.default_rng(0), epoch_seconds=0.02, log=log)
    turns = [cost for cost, word in log if word == "epoch"]
    rounds = [tuple(turns[i : i + 3]) for i in range(0, len(turns), 3)]
    assert len(rounds) == (1 + 7) * 5  # one repeat more than counts
    assert all(sorted(turn) == [1.0, 2.0, 3.0] for turn in rounds)
    assert len(set(rounds)) == 6


def test_a_slow_epoch_takes_fewer_turns():
    found = {"quick": Series(), "slow": Series()}
    log = []
    contenders = {
        "quick": Simulated(1.0, Machine(0, outliers=0), 0.01, log),
        "slow": Simulated(9.0, Machine(0, outliers=0), 0.09, log),
    }
    steady(contenders, found, CASE, 7, np.random.default_rng(0))
    counts = Counter(cost for cost, word in log if word == "epoch")
    assert counts == {1.0: 8 * 10, 9.0: 8 * 3}
    assert all(len(series.seconds["epoch"]) == 7 for series in found.values())


def test_a_disturbed_slice_is_run_again():
    class Disturbed(Simulated):
        def ask_waiting(self, word):
            self.log.append(word)
            return Slice(0.5, False) if self.log.count("epoch") % 2 else Slice(1.0, True)

    found = {"a": Series()}
    steady({"a": Disturbed(1.0, Machine(0))}, found, CASE, 7, np.random.default_rng(0))
    assert found["a"].seconds["epoch"] == [1.0] * 7


REFERENCE = "harness.reference.trainer:Reference"


@pytest.fixture(scope="module")
def found():
    trainers = {
        "good": REFERENCE,
        "wrong": "tests.timed_trainers:WrongTrainer",
        "crashing": "tests.timed_trainers:CrashingTrainer",
        "hasty": "tests.timed_trainers:HastyTrainer",
        "telling": "tests.timed_trainers:TellingTrainer",
    }
    contenders = [Contender(name, trainer, threads=2) for name, trainer in trainers.items()]
    yield measure_case(contenders, CASE, "controlled", 7, np.random.default_rng(0))
    for contender in contenders:
        contender.close()


def test_each_phase_is_timed_apart_once_a_repeat(found):
    assert found["good"].failure is None
    assert {phase: len(seconds) for phase, seconds in found["good"].seconds.items()} == dict.fromkeys(
        ("build", "first_step", "epoch", "predict"), 7
    )
    assert all(seconds > 0 for timings in found["good"].seconds.values() for seconds in timings)


def test_a_backend_that_is_one_percent_off_gets_no_timing(found):
    assert found["wrong"].failure.status == "differs"
    assert "deviation" in found["wrong"].failure.reason
    assert not found["wrong"].seconds


def test_a_backend_that_dies_leaves_and_the_others_go_on(found):
    assert found["crashing"].failure.status == "crashed"
    assert "exit code 3" in found["crashing"].failure.reason
    assert found["hasty"].failure.reason == "train ended before it was told to"


def test_threads_are_set_before_anything_is_imported(found):
    assert (found["telling"].failure.status, found["telling"].failure.reason) == ("unsupported", "2 2")


def test_a_process_that_died_is_replaced():
    contender = Contender("crashing", "tests.timed_trainers:CrashingTrainer", threads=1)
    try:
        with pytest.raises(Failed, match="exit code 3"):
            contender.ask("start", CASE)
        assert contender.ask("parity", CASE).startswith("deviation")
    finally:
        contender.close()


def test_parity_is_judged_on_the_shorter_batch_too():
    for epoch in Case(width=4, depth=1, batch_size=8, rows=44).few_steps().epochs:
        assert [len(rows) for rows in epoch.batches()] == [8, 8, 4]
        assert (epoch.learning_rate == 0.1).all()


def test_no_first_step_can_answer_from_a_cache():
    seen = []

    class Noting(Reference):
        def __init__(self, config, start):
            seen.append(config)
            super().__init__(config, start)

    for twin in (1, 2, 3):
        work.start(Noting, CASE, twin)
    assert len(set(seen)) == 3
    assert len({vary(config, leaky_slope=0.0) for config in seen}) == 1


class Words:
    """The parent's end of a connection: says what was prepared, notes what it hears."""

    def __init__(self, *words):
        self.words, self.heard = list(words), []

    def receive(self):
        return self.words.pop(0)

    def send(self, message):
        self.heard.append(message)


def test_a_training_stands_still_between_slices_and_stops_when_told():
    ends = []

    class Counting(Reference):
        def train(self, X, y, batches, after_epoch):
            super().train(X, y, batches, lambda epoch: ends.append(epoch) or after_epoch(epoch))

    channel = Words("epoch", "predict", "epoch", "stop")
    trainer = Counting(CASE.config(), CASE.start())
    X, y = CASE.data()
    trainer.train(X, y, CASE.batches(100), work.Slices(trainer, X, 3, 0, channel))
    assert ends == list(range(1, 1 + 1 + 2 * (1 + 3)))  # compiles; and twice one that is not counted, and three
    (_, ready), *slices = channel.heard
    assert ready == "ready"
    assert [status for status, one in slices if one.seconds > 0] == ["ok"] * 3


def test_a_slice_tells_when_the_processor_was_taken_away(monkeypatch):
    switches = iter([5, 5, 5, 6])
    monkeypatch.setattr(work, "_switches", lambda: next(switches))
    assert work.Moment().slice(1).undisturbed
    assert not work.Moment().slice(1).undisturbed


def test_the_operations_of_an_epoch():
    # 20 rows: forward and gradient of 64 x 4 and 4 x 10, and the error that goes back through the second
    assert CASE.flops == 2 * 20 * (2 * (64 * 4 + 4 * 10) + 4 * 10)


def measured(backend, seconds, phase="epoch", **kwargs):
    rows = Measurement(backend, "controlled", 1, "float32", 4, 1, 8, 20, phase=phase, gflops=1.0, peak=9.0, **kwargs)
    return [replace(rows, repeat=repeat, seconds=value) for repeat, value in enumerate(seconds)]


STEADY = [1.0, 1.1, 1.2, 1.0, 1.1, 1.2, 1.3]


def summary_of(*measurements):
    return summarise(frame([row for rows in measurements for row in rows]), "numpy")


def test_a_ratio_whose_interval_includes_1_is_no_difference():
    near = [value * factor for value, factor in zip(STEADY, [0.9, *[1.05] * 6], strict=True)]
    summary = summary_of(measured("numpy", STEADY), measured("near", near), measured("far", np.multiply(STEADY, 3)))
    assert summary["verdict"].tolist()[1:] == ["no difference", "slower"]
    text = tables(summary, "numpy")
    assert "1.05, no difference" in text
    assert "3.00 (3.00 to 3.00)" in text
    assert summary["speed"].iloc[0] == pytest.approx(1 / 1.1)


def test_what_has_no_timing_is_said_with_its_reason():
    lost = replace(measured("torch", [1.0])[0], phase="", seconds=None, repeat=None, status="differs", reason="by far")
    absent = Measurement("mlx", "controlled", 1, "float32", status="not_installed", reason="run: pip install mlx")
    summary = summary_of(measured("numpy", STEADY), [lost, absent])
    text = tables(summary, "numpy")
    assert "torch (1 case): differs: by far" in text
    assert "mlx: not installed: run: pip install mlx" in text
    told = page(summary, "numpy", 7, {"Python": "3"}, {}, list(pictures(summary, "numpy", {})))
    assert "| 4 × 1, 8, 20 | 1.1 s | differs | not installed |" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--backends", "nunpy"], "did you mean 'numpy'"),
        (["--modes", "fair"], "--modes: unknown mode 'fair'"),
        (["--dtype", "float16"], "did you mean 'float64'"),
        (["--threads", "3"], "(allowed: 1, all, both)"),
        (["--repeats", "6"], "at least 7"),
        (["--widths", "32,x"], "--widths '32,x': 'x' is not a whole number"),
        (["--widths", ","], "--widths ',': names nothing"),
        (["--batch-sizes", "64", "--rows", "32"], "a batch of 64 is more than the 32 of --rows"),
        (["--seed", "-1"], "--seed -1"),
        (["--out", "/dev/null/x"], "cannot be written"),
    ],
)
def test_a_wrong_request_is_one_line(arguments, told, capsys):
    assert invoke(["bench", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_command_writes_every_measurement_and_the_report(tmp_path, capsys):
    sizes = ["--widths", "4,8", "--batch-sizes", "8", "--rows", "20", "--threads", "1"]
    assert invoke(["bench", "--backends", "numpy", *sizes, "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "bench.csv")
    assert Counter(rows["phase"]) == {"import": 7} | dict.fromkeys(("build", "first_step", "epoch", "predict"), 14)
    assert {"processor", "backend_version", "threads", "harness", "cores"} <= set(rows)
    assert rows["seconds"].gt(0).all()
    assert (tmp_path / "scaling.png").is_file()
    assert "![speed](speed.png)" in (tmp_path / "bench.md").read_text()
    assert "mode controlled, 1 thread: time of an epoch, numpy = 1" in capsys.readouterr().out
