import base64
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports import statistics, style
from reports.legible import LONGEST, clean, cleaned, legible
from reports.payload import FEWEST, POINTS, as_json, payload, thinned
from tests.test_reports import AXES, make, mixed, regression


def unpacked(text, dtype="<f8"):
    return np.frombuffer(base64.b64decode(text), dtype)


def noisy(row, position):
    """An edit that gives every trial numbers of its own, with all the digits that a float has."""
    noise = np.random.default_rng([*position, row["seed"], len(row["backend"])])
    for split in ("train", "validation", "test"):
        row[f"{split}_accuracy"], row[f"{split}_loss"] = noise.random(2)


def test_every_number_arrives_to_the_last_bit():
    study = make(seeds=3, edit=noisy)
    trials = payload(study)["trials"]
    for column in ("test_accuracy", "train_loss", "deviation", "train_seconds"):
        assert unpacked(trials["columns"][column]).tolist() == pytest.approx(
            study.rows[column].tolist(), abs=0, nan_ok=True
        )


def test_a_trial_stands_at_its_place():
    study = make(seeds=2)
    found = payload(study)
    trials = found["trials"]
    assert len(trials["id"]) == len(study.rows)
    for i, row in enumerate(study.rows.to_dict("records")):
        assert found["backends"][trials["backend"][i]] == row["backend"]
        assert found["modes"][trials["mode"][i]] == row["mode"]
        assert study.positions[trials["cell"][i]] == study.position(row)
        assert found["seeds"][trials["seed"][i]] == f"seed {row['seed']}"


def test_a_failure_keeps_its_status_reason_and_verdict():
    def edit(row, position):
        if position == (0, 1):
            row.update(status="crashed", reason="out of memory", verdict="unchecked")

    study = make(edit=edit)
    trials = payload(study)["trials"]
    lost = [i for i, status in enumerate(trials["status"]) if trials["statuses"][status] == "crashed"]
    assert len(lost) == 4
    assert {trials["reasons"][trials["reason"][i]] for i in lost} == {"out of memory"}
    assert {trials["verdicts"][trials["verdict"][i]] for i in lost} == {"unchecked"}
    assert np.isnan(unpacked(trials["columns"]["test_accuracy"])[lost]).all()


def test_a_status_that_nobody_knows_travels_as_it_is():
    study = make(edit=lambda row, position: row.update(status="weird") if position == (0, 1) else None)
    trials = payload(study)["trials"]
    told = [trials["statuses"][status] for status in trials["status"]]
    assert told == study.rows["status"].tolist()
    assert set(told) == {"ok", "weird"}


def test_means_and_differences_are_those_of_the_statistics():
    study = make(seeds=4, edit=noisy)
    found = payload(study)
    told = statistics.cell_statistics(study, "native", "torch", "test_accuracy")
    cells = found["cells"]["native"]["1"]["test_accuracy"]
    assert unpacked(cells["mean"]).tolist() == told["mean"].tolist()
    assert unpacked(cells["std"]).tolist() == told["std"].tolist()
    pair = statistics.paired(study, "controlled", "numpy", "torch", "train_loss")
    cells = found["pairs"]["controlled"]["0,1"]["train_loss"]
    assert unpacked(cells["low"]).tolist() == pair["low"].tolist()
    assert unpacked(cells["p"], "<f4").tolist() == pytest.approx(pair["p_holm"].tolist(), rel=1e-6)
    assert [bool(shown) for shown in cells["shown"]] == pair["shown"].str.endswith("higher").tolist()


def test_of_a_single_seed_nothing_is_averaged_and_no_noise_is_claimed():
    found = payload(make())
    assert found["cells"] is None
    assert found["pairs"] is None


def curve(study, n, column="test_accuracy"):
    """The study with `n` epochs in each controlled trial; the score is its epoch's share."""
    ids = study.rows.loc[study.rows["mode"] == "controlled", "trial_id"]
    parts = [pd.DataFrame({"trial_id": i, "epoch": range(n), column: np.arange(n) / (n - 1)}) for i in ids]
    return replace(study, curves=pd.concat(parts, ignore_index=True))


@pytest.mark.parametrize(("n", "points"), [(1, 1), (2, 2), (50, 50), (51, 50), (1000, 50), (1000, 8)])
def test_a_thinned_curve_keeps_its_ends_and_equal_steps(n, points):
    kept = thinned(n, points)
    assert len(kept) == min(n, points)
    assert (kept[0], kept[-1]) == (0, n - 1)
    assert np.ptp(np.diff(kept)) <= 1 if n > 1 else True


def test_thinning_leaves_every_value_at_its_epoch():
    study = curve(make(), 301)
    curves = payload(study)["curves"]["controlled"]
    (epochs,) = curves["epochs"]
    values = unpacked(curves["columns"]["test_accuracy"], "<f4").reshape(len(curves["trial"]), -1)
    assert len(epochs) == POINTS
    assert values[3].tolist() == pytest.approx([epoch / 300 for epoch in epochs], rel=1e-6)


def test_with_more_trials_a_curve_has_fewer_points(monkeypatch):
    monkeypatch.setattr("reports.payload.CURVE_VALUES", 8 * 20)
    assert len(payload(curve(make(), 301))["curves"]["controlled"]["epochs"][0]) == 20
    monkeypatch.setattr("reports.payload.CURVE_VALUES", 1)
    assert len(payload(curve(make(), 301))["curves"]["controlled"]["epochs"][0]) == FEWEST


def test_the_epochs_to_a_score_are_counted_before_the_curves_are_thinned(monkeypatch):
    monkeypatch.setattr("reports.payload.CURVE_VALUES", 1)
    study = curve(make(modes=("controlled", "native")), 301)
    found = payload(study)
    epochs = unpacked(found["trials"]["columns"]["test_epochs_to_95"])
    controlled = (study.rows["mode"] == "controlled").to_numpy()
    assert set(epochs[controlled]) == {285}  # 285 / 300 is 0.95; no thinned curve has that epoch
    assert 285 not in found["curves"]["controlled"]["epochs"][0]
    assert np.isnan(epochs[~controlled]).all()  # nobody knows: native mode has no such curve


def test_a_score_that_is_never_reached_is_told_from_one_that_nobody_knows():
    study = curve(make(backends=("numpy",), modes=("controlled",)), 11)
    study.curves["test_accuracy"] *= 0.9
    study = replace(study, curves=study.curves[study.curves["trial_id"] != study.rows["trial_id"].iloc[0]])
    epochs = unpacked(payload(study)["trials"]["columns"]["test_epochs_to_95"])
    assert math.isnan(epochs[0])
    assert set(epochs[1:]) == {math.inf}


def test_lines_that_several_cells_ran_travel_once():
    study = replace(make(), calls=lambda row: ["import numpy", f"rate = {row['learning_rate']}"])
    calls = payload(study)["calls"]
    assert calls["lines"] == ["import numpy", "rate = 0.01", "rate = 0.1"]
    assert calls["cells"]["native"]["1"] == [[0, 1], [0, 1], [0, 2], [0, 2]]
    assert payload(make())["calls"]["cells"] == {}


def test_only_metrics_that_exist_are_offered_and_each_knows_whose_they_are():
    metrics = {metric["id"]: metric for metric in payload(mixed())["metrics"]}
    assert metrics["accuracy"]["splits"] == ["train", "validation", "test"]
    assert metrics["auc"]["splits"] == ["test"]
    assert metrics["r2"]["scores"] == ["r2"]
    assert set(metrics["loss"]["scores"]) == {"accuracy", "r2"}
    assert "epochs_run" not in metrics
    assert metrics["r2"]["label"] == "R²"
    assert metrics["train_seconds"] | {"scale": None} == {
        "id": "train_seconds",
        "label": "training time",
        "kind": "seconds",
        "splits": [],
        "scores": ["accuracy", "r2"],
        "scale": None,
    }


def test_a_regression_starts_with_its_r2():
    assert payload(make(edit=regression))["start"] == {"mode": "controlled", "metric": "r2", "split": "test"}


def test_a_study_without_any_result_has_something_to_show():
    study = make(edit=lambda row, position: row.update(status="pending", verdict="unchecked", floor=math.nan))
    found = payload(replace(study, curves=study.curves[:0]))
    assert [metric["id"] for metric in found["metrics"]] == ["accuracy"]
    assert found["curves"] == {}


def test_folds_are_named():
    study = make(axes={}, backends=("numpy",), modes=("controlled",), seeds=4)
    study = replace(study, rows=study.rows.assign(fold=study.rows["seed"] % 2))
    assert payload(study)["seeds"] == ["seed 0, fold 0", "seed 0, fold 1", "seed 1, fold 0", "seed 1, fold 1"]


def test_the_axes_have_the_labels_of_the_figures():
    found = payload(make())
    assert found["axes"] == [{"name": name, "values": style.labels(values)} for name, values in AXES.items()]
    assert found["layout"] == {"down": 0, "across": 1}


BAD = "</script><script>alert(1)</script>\u2028\u2029 & <!--"


def test_nothing_in_the_json_can_end_its_element_or_its_line():
    text = as_json(payload(make(axes={"optimizer": [BAD, "sgd"]}, backends=("numpy", BAD))))
    assert not set(text) & set("<>&\u2028\u2029")
    assert text.isascii()
    assert json.loads(text)["backends"][1] == BAD


def test_json_has_no_number_that_json_does_not_know():
    study = make(edit=lambda row, position: row.update(train_loss=math.inf, deviation=math.inf))
    json.loads(as_json(payload(study)), parse_constant=lambda name: pytest.fail(name))


# -- names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with “quotes” and שלום", None),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("\ud800", "\ufffd"),
        ("\u202egnp.exe\u2069", "\ufffdgnp.exe\ufffd"),
    ],
)
def test_characters_that_no_page_can_hold_are_replaced(text, shown):
    assert clean(text) == (text if shown is None else shown)
    assert clean([text, 1]) == [clean(text), 1]


def test_a_clean_study_still_finds_its_trials():
    study = cleaned(make(axes={"case": ["a\nb", "\x01"]}, backends=("numpy",)))
    assert study.axes == {"case": ["a b", "\ufffd"]}
    assert all(study.cell("controlled", "numpy", position).rows for position in study.positions)


def test_long_names_are_cut_and_stay_apart():
    names = ["x" * 10_000, "x" * 9_999, "short"]
    study = legible(make(axes={"case": names}, backends=("numpy", "y" * 200), title="t" * 1000))
    first, second, third = study.axes["case"]
    assert first == "x" * (LONGEST - 1) + "…"
    assert second == f"{first} (2)"
    assert third == "short"
    assert all(study.cell("controlled", name, position).rows for name in study.backends for position in study.positions)
    assert len(study.title) == 120
    assert study.facts["title"] == "t" * 1000
    assert study.rows["trial_id"].str.len().eq(64).all()
