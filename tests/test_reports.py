import html
import itertools
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

import reports
from harness.registry import colours
from harness.training import parity
from reports import agreement, best, figures, style, tables
from reports.figures.curves import controlled_lines, native_lines
from reports.figures.heatmaps import grid
from reports.page import OWN_FILES, write
from reports.study import MODES, SPLITS, Cell, Study, best_cell

AXES = {"learning_rate": [0.01, 0.1], "l2": [1e-5, 1e-3]}
TEST = {(0, 0): 0.25, (0, 1): 0.5, (1, 0): 0.75, (1, 1): 0.625}
VALIDATION = {(0, 0): 0.3, (0, 1): 0.9, (1, 0): 0.4, (1, 1): 0.35}


def make(axes=None, backends=("numpy", "torch"), modes=MODES, seeds=1, title="A small study", edit=None):
    """A study in which every trial is ok; `edit(row, position)` may change each row before it is stored."""
    axes = AXES if axes is None else axes
    records, curves = [], []
    for mode, backend in itertools.product(modes, backends):
        for position in itertools.product(*(range(len(values)) for values in axes.values())):
            for seed in range(seeds):
                native = mode == "native"
                row = {
                    "trial_id": f"t{len(records):063x}",
                    "experiment": "small",
                    "backend": backend,
                    "mode": mode,
                    "seed": seed,
                    "status": "ok",
                    "reason": None,
                    "train_accuracy": 0.8,
                    "validation_accuracy": VALIDATION.get(position, 0.5),
                    "test_accuracy": TEST.get(position, 0.5) - (0.125 if native and backend == "torch" else 0),
                    "train_loss": 0.5,
                    "validation_loss": 0.6,
                    "test_loss": 0.7,
                    "deviation": math.nan if native else 3e-15,
                    "floor": math.nan if native else 1e-15,
                    "verdict": None if native else "agrees",
                    "stack_size": 1,
                    "build_seconds": 0.01,
                    "train_seconds": 0.2,
                    "predict_seconds": 0.001,
                    "backend_version": "1.2",
                    "harness_version": "0.1.0",
                    "stale": False,
                    "task": "multiclass",
                    "chance": 0.1,
                    **{f"{split}_{name}": math.nan for split in SPLITS for name in ("auc", "f1", "mse", "mae", "r2")},
                }
                row |= {axis: values[i] for (axis, values), i in zip(axes.items(), position, strict=True)}
                if edit:
                    edit(row, position)
                if row["status"] != "ok":
                    row |= {name: math.nan for name in row if name.endswith((*style.METRICS, "seconds"))}
                    row["deviation"] = math.nan
                records.append(row)
                measured = [] if native else [f"{split}_{what}" for split in SPLITS for what in ("loss", "accuracy")]
                for epoch in range(3):
                    curve = dict.fromkeys(measured, 1 / (1 + epoch))
                    if native and backend == "torch":
                        curve["logged_loss"] = 1.0
                    curves.append({"trial_id": row["trial_id"], "epoch": epoch, **curve})
    return Study(
        "small", title, pd.DataFrame(records), axes, pd.DataFrame(curves), {"machine": "a desk"}, [], display=colours()
    )


def panels(figure):
    """The axes that hold a heatmap."""
    return [ax for ax in figure.axes if any(isinstance(c, QuadMesh) for c in ax.collections) and ax.get_ylim()[0] >= 1]


def inside(ax, row, column):
    """The texts that stand in one cell, from above."""
    found = [t for t in ax.texts if column < t.get_position()[0] < column + 1 and row < t.get_position()[1] < row + 1]
    return sorted(found, key=lambda text: text.get_position()[1])


def at(ax, row, column):
    """What one cell says, from above."""
    return [text.get_text() for text in inside(ax, row, column)]


def colour(ax, row, column):
    """What a cell is filled with: a patch that lies on it, else the heatmap's own colour."""
    for patch in ax.patches:
        if isinstance(patch, Rectangle) and patch.get_fill() and patch.get_xy() == (column, row):
            return patch.get_facecolor()[:3]
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    return mesh.to_rgba(mesh.get_array())[row, column][:3].tolist()


def ink(ax, row, column):
    """The colours in which one cell is written."""
    return {to_rgb(text.get_color()) for text in inside(ax, row, column)}


def outlined(ax):
    """The cells with an outline, as (row, column)."""
    frames = [p for p in ax.patches if isinstance(p, Rectangle) and p.get_edgecolor()[:3] == to_rgb(style.OUTLINE)]
    return [(int(p.get_y()), int(p.get_x())) for p in frames]


def hatched(ax):
    """The cells with diagonals, as (row, column)."""
    middles = [patch.get_path().vertices.mean(axis=0) for patch in ax.patches if patch.get_label() == "chaotic"]
    return [(int(y), int(x)) for x, y in middles]


def no_validation(row, position):
    """An edit that leaves a study as it is where the data set has no validation split."""
    row.update(validation_accuracy=math.nan, validation_loss=math.nan)


@pytest.mark.parametrize(
    ("write_as", "values", "texts"),
    [
        (style.number, [1e-5, 2.154e-3, 0.01, 0.123456], "1e-5 | 2.154e-3 | 0.01 | 0.1235"),
        (style.number, [250, 1e5, 1e6, -0.5, 0.0, math.inf, math.nan], "250 | 100000 | 1e6 | -0.5 | 0 | ∞ | –"),
        (style.plain, [3.0, 0.5, True, "adam", [100, 0.5], [], None], "3 | 0.5 | true | adam | [100, 0.5] | [] | –"),
        (style.score, [0.98765, 1, math.nan], "0.988 | 1.000 | –"),
        (style.signed, [0.0314, -0.82, -0.0001, math.nan], "+0.031 | −0.820 | 0.000 | –"),
        (style.deviation, [7.12e-15, 3e-3, 0.5, 0.0, math.inf, math.nan], "7.1e-15 | 3.0e-3 | 5.0e-1 | 0 | ∞ | –"),
        (style.magnitude, [7.12e-15, 9.6e-4, 0.52, 0.0, math.inf], "7e-15 | 1e-3 | 0.5 | 0 | ∞"),
        (style.magnitude, [227.4, 999.4, 999.9, 10558, 32406, 4e7], "227 | 999 | 1e3 | 1e4 | 3e4 | 4e7"),
        (style.seconds, [123.4, 12, 9.96, 1.5, 0.99951], "123 s | 12 s | 10 s | 1.5 s | 1.0 s"),
        (style.seconds, [0.076, 850e-6, 1.9e-6, 0, math.nan], "76 ms | 850 µs | 1.9 µs | 0 s | –"),
    ],
)
def test_every_kind_of_number_is_written_in_one_way(write_as, values, texts):
    assert [write_as(value) for value in values] == texts.split(" | ")


def test_labels_have_just_enough_digits_to_tell_the_values_of_an_axis_apart():
    assert style.labels([0.0, 1e-5, 0.123456]) == ["0", "1e-5", "0.1235"]
    assert style.labels([0.123456, 0.12348]) == ["0.12346", "0.12348"]
    assert style.labels([[50], [100, 30]]) == ["[50]", "[100, 30]"]


def test_the_drawn_numbers_and_colours_are_those_of_the_rows():
    figure = figures.score_heatmaps(make(), "controlled", "test")
    assert len(panels(figure)) == 2
    for ax in panels(figure):
        for (row, column), value in TEST.items():
            assert at(ax, row, column) == [f"{value:.3f}"]
            # the scale runs from the lowest accuracy of the study (0.125, in native mode) rounded down, to 1
            assert colour(ax, row, column) == pytest.approx(matplotlib.colormaps["viridis"]((value - 0.1) / 0.9)[:3])


def test_the_rows_of_a_panel_are_learning_rates_and_its_columns_l2():
    first = panels(figures.score_heatmaps(make(), "controlled", "test"))[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["0.01", "0.1"]
    assert [label.get_text() for label in first.get_xticklabels()] == ["1e-5", "1e-3"]
    assert (first.get_ylabel(), first.get_xlabel()) == ("learning_rate", "l2")


def test_another_value_is_drawn_as_another_text_and_colour():
    def edit(row, position):
        if row["backend"] == "torch" and position == (0, 1):
            row["test_accuracy"] = 0.987

    before, after = (panels(figures.score_heatmaps(make(edit=e), "controlled", "test"))[1] for e in (None, edit))
    assert (at(before, 0, 1), at(after, 0, 1)) == (["0.500"], ["0.987"])
    assert colour(before, 0, 1) != colour(after, 0, 1)
    assert colour(before, 0, 0) == colour(after, 0, 0)


def test_the_text_on_a_dark_tile_is_white_and_on_a_light_one_dark():
    def edit(row, position):
        row["test_accuracy"] = 0.0 if position == (0, 0) else 1.0
        if position == (1, 0):
            row["status"] = "crashed"
        if position == (1, 1):
            row.update(deviation=2e-3, verdict="differs")

    study, white, dark = make(backends=("numpy",), edit=edit), to_rgb("white"), to_rgb(style.INK)
    (accuracies,) = panels(figures.score_heatmaps(study, "controlled", "test"))
    assert [ink(accuracies, *cell) for cell in TEST] == [
        {white},
        {dark},
        {dark},
        {dark},
    ]  # violet, yellow, grey, yellow
    (deviations,) = panels(figures.deviation_heatmaps(study))
    assert [ink(deviations, *cell) for cell in TEST] == [{dark}, {dark}, {dark}, {white}]  # pale blue, ..., grey, red


@pytest.mark.parametrize("status", ["diverged", "timeout", "crashed", "pending"])
def test_a_cell_without_a_result_is_grey_and_says_why(status):
    def edit(row, position):
        if position == (1, 1):
            row["status"] = status

    study = make(edit=edit)
    for figure in (figures.score_heatmaps(study, "native", "test"), figures.deviation_heatmaps(study)):
        for ax in panels(figure):
            assert at(ax, 1, 1) == [status]
            assert colour(ax, 1, 1) == pytest.approx(to_rgb(style.NEUTRAL))


def test_a_failed_seed_is_counted_beside_the_mean_of_the_others():
    def edit(row, position):
        row["test_accuracy"] = 0.6 + 0.1 * row["seed"]
        if position == (0, 0) and row["seed"] == 2:
            row["status"] = "diverged"

    ax = panels(figures.score_heatmaps(make(seeds=3, edit=edit), "controlled", "test"))[0]
    assert at(ax, 0, 0) == ["0.650", "±0.071\n1/3\ndiverged"]
    assert at(ax, 1, 1) == ["0.700", "±0.100"]


def test_a_number_that_a_failed_trial_left_behind_is_never_averaged():
    finished = {"status": "ok", "verdict": "agrees", "test_accuracy": 0.5}
    cell = Cell((), (finished, finished | {"status": "diverged", "test_accuracy": 0.9}))
    assert (cell.mean("test_accuracy"), cell.complete, cell.mark) == (0.5, False, "1/2 diverged")


def test_a_difference_is_taken_seed_by_seed_and_only_where_both_finished():
    def cell(status="ok", **accuracies):
        return Cell((), tuple({"seed": s, "status": status, "test_accuracy": a} for s, a in accuracies.items()))

    assert cell(a=0.5, b=0.9).minus(cell(b=0.7, a=0.25, c=0.0), "test_accuracy") == pytest.approx((0.25 + 0.2) / 2)
    assert cell(a=0.5, b=0.9).minus(cell(b=0.7, c=0.1), "test_accuracy") == pytest.approx(0.2)
    assert cell(a=0.5, b=math.nan).minus(cell(a=0.25, b=0.7), "test_accuracy") == 0.25
    assert math.isnan(cell(a=0.5).minus(cell(b=0.5), "test_accuracy"))
    assert math.isnan(cell(a=0.5).minus(cell("diverged", a=0.5), "test_accuracy"))


@pytest.mark.parametrize("status", ["diverged", "crashed", "pending"])
def test_a_cell_with_a_failed_seed_cannot_win(status):
    def edit(row, position):
        if position == (0, 1) and row["seed"] == 2:
            row["status"] = status

    study = make(seeds=3, edit=edit)
    assert VALIDATION[0, 1] == max(VALIDATION.values())
    for mode in MODES:
        assert best_cell(study.cells(mode, "torch"), "accuracy").position == (
            1,
            0,
        )  # the best of those in which all finished
        assert list(tables.best_table(study, mode)["seeds"]) == [3, 3]


def test_the_repeats_of_a_cross_validation_are_folds(tmp_path):
    study = make(seeds=4)
    study = replace(study, rows=study.rows.assign(fold=study.rows["seed"] % 2))
    assert list(tables.best_table(study, "controlled")["folds"]) == [4, 4]
    differing = replace(study, rows=study.rows.assign(verdict="differs"))
    assert list(tables.outside(differing)["seed"][:4]) == ["0, fold 0", "0, fold 1", "1, fold 0", "1, fold 1"]
    page = html.unescape(write(study, tmp_path).read_text(encoding="utf-8"))
    told = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page.partition("<script")[0]))
    assert "chosen by validation accuracy, mean ± standard deviation of 4 folds:" in told  # the summary
    assert "over the folds; a tie" in told
    assert not re.search(r"\d seeds|seeds (that|;)", told)


def test_the_best_cell_is_chosen_by_validation_and_not_by_test_accuracy():
    for ax in panels(figures.score_heatmaps(make(), "controlled", "test")):
        assert outlined(ax) == [(0, 1)]  # where the validation accuracy is highest; (1, 0) has the best test accuracy


def test_a_tie_goes_to_the_lower_validation_loss():
    def edit(row, position):
        row["validation_accuracy"] = 0.5
        row["validation_loss"] = 0.2 if position == (1, 0) else 0.3

    assert outlined(panels(figures.score_heatmaps(make(edit=edit), "native", "train"))[0]) == [(1, 0)]


def test_a_chaotic_cell_is_hatched_and_never_outlined():
    def edit(row, position):
        if row["mode"] == "controlled" and position == (0, 1):
            row["verdict"] = "chaotic"

    study = make(edit=edit)
    for ax in panels(figures.score_heatmaps(study, "controlled", "test")):
        assert hatched(ax) == [(0, 1)]
        assert outlined(ax) == [(1, 0)]
        assert at(ax, 0, 1) == ["0.500"]
    assert all(hatched(ax) == [(0, 1)] for ax in panels(figures.deviation_heatmaps(study)))
    assert all(outlined(ax) == [(0, 1)] for ax in panels(figures.score_heatmaps(study, "native", "test")))


def test_nothing_is_outlined_without_a_validation_accuracy():
    study = make(edit=no_validation)
    for mode in MODES:
        assert all(outlined(ax) == [] for ax in panels(figures.score_heatmaps(study, mode, "test")))
        assert tables.best_table(study, mode)["test_accuracy"].isna().all()


def test_the_deviation_stands_over_the_floor_and_zero_is_written_as_0():
    def edit(row, position):
        if position == (0, 0):
            row["deviation"] = 0.0
        if position == (1, 1) and row["backend"] == "torch":
            row.update(deviation=2e-3, verdict="differs")

    numpy_panel, torch_panel = panels(figures.deviation_heatmaps(make(edit=edit)))
    assert at(numpy_panel, 0, 0) == ["0", "1e-15"]
    assert at(numpy_panel, 0, 1) == ["3e-15", "1e-15"]
    assert at(torch_panel, 1, 1) == ["2e-3", "differs"]
    assert colour(torch_panel, 1, 1) == pytest.approx(to_rgb(style.ALARM))


def test_of_several_seeds_the_worst_deviation_is_shown():
    def edit(row, position):
        seed = row["seed"]
        row.update(deviation=[2e-15, 8e-15, 4e-15][seed], floor=[2e-15, 1e-15, 3e-15][seed])
        if position == (0, 0) and seed == 0:
            row.update(deviation=2e-3, verdict="differs")
        if position == (0, 0) and seed == 1:
            row.update(deviation=0.5, verdict="chaotic")

    (ax,) = panels(figures.deviation_heatmaps(make(backends=("numpy",), seeds=3, edit=edit)))
    assert at(ax, 1, 1) == ["8e-15", "1e-15"]  # with the floor of that seed
    assert at(ax, 0, 0) == ["2e-3", "differs"]  # a seed that differs is worse than a chaotic one, however far


def test_native_differences_are_measured_from_numpy():
    (ax,) = panels(figures.native_difference_heatmaps(make()))
    assert at(ax, 0, 0) == ["−0.125"]
    without = make(backends=("torch", "keras"))
    assert without.native_base == "keras"  # the first in the order of display
    assert at(panels(figures.native_difference_heatmaps(without))[0], 0, 0) == ["−0.125"]


def test_a_backend_that_is_not_installed_gets_a_panel_with_the_hint():
    def edit(row, position):
        if row["backend"] == "torch":
            row.update(status="not_installed", reason="pip install torch", verdict="unchecked")

    study = make(edit=edit)
    figure = figures.score_heatmaps(study, "controlled", "test")
    assert "not installed" in " ".join(text.get_text() for ax in figure.axes for text in ax.texts)
    assert "torch is not installed: pip install torch." in tables.summary_sentences(study)


def test_the_parity_table_counts_every_planned_trial_once():
    fates = {
        (0, 0): {"verdict": "chaotic"},
        (0, 1): {"verdict": "differs", "deviation": 1e-3},
        (1, 0): {"status": "crashed", "verdict": "unchecked", "reason": "signal 11"},
        (1, 1): {"status": "diverged"},
    }

    def edit(row, position):
        if row["backend"] == "torch" and row["mode"] == "controlled":
            row.update(fates[position])

    study = make(edit=edit)
    good, bad = tables.parity_table(study).to_dict("records")
    assert (good["planned"], good["ok"], good["agree"], good["learned"]) == (4, 4, 4, 3)  # 0.25 is too near chance
    assert {name: bad[name] for name in ("ok", "diverged", "failed", "not_run")} == {
        "ok": 2, "diverged": 1, "failed": 1, "not_run": 0}  # fmt: skip
    assert [bad[name] for name in ("agree", "differ", "chaotic", "unchecked")] == [1, 1, 1, 1]
    assert bad["largest_deviation"] == 1e-3
    assert list(tables.outside(study)["reason"])[1:] == ["signal 11"]
    assert tables.summary_sentences(study)[0].startswith("torch differs from the reference in 1 of the 2 cells")


def test_the_largest_deviation_is_that_of_the_trials_that_can_be_judged():
    def edit(row, position):
        if position == (0, 0):
            row.update(verdict="chaotic", deviation=0.9, floor=0.5)
        if position == (0, 1):
            row["deviation"] = 5e-15

    study = make(edit=edit)
    assert list(tables.parity_table(study)["largest_deviation"]) == [5e-15, 5e-15]
    assert tables.summary_sentences(study)[0].endswith("the largest deviation from the reference is 5.0e-15.")


def test_a_time_is_the_median_of_the_trials_that_finished():
    times = {(0, 0): 0.25, (0, 1): 0.5, (1, 0): 8.0, (1, 1): 100.0}

    def edit(row, position):
        seconds = times[position]
        row.update(build_seconds=seconds, train_seconds=2 * seconds, predict_seconds=3 * seconds)
        row["stack_size"] = 1 + 2 * position[1]
        if position == (1, 1):
            row["status"] = "diverged"

    table = tables.timing_table(make(edit=edit))
    assert list(table["trials"]) == [3] * 4
    assert list(table["largest_stack"]) == [3] * 4
    for name, median in {"build": 0.5, "train": 1.0, "predict": 1.5}.items():
        assert list(table[f"median_{name}_seconds"]) == [median] * 4


@pytest.mark.parametrize("status", ["ok", "diverged"])
def test_the_summary_counts_the_stale_rows(status):
    def stale(position_of, backends):
        def edit(row, position):
            row["stale"] = position == position_of and row["backend"] in backends and row["mode"] == "native"
            row["status"] = status if position == (1, 1) else "ok"

        return [text for text in tables.summary_sentences(make(edit=edit)) if "stale" in text]

    how = "stale: trained by other code, or with other versions, than are here now (run again with --refresh)."
    assert stale((0, 0), ["torch"]) == [f"1 row is {how}"]
    assert stale((0, 0), ["numpy", "torch"]) == [f"2 rows are {how}"]
    assert stale((0, 0), []) == []


def test_the_summary_says_who_agrees_and_by_how_much_native_differs():
    sentences = tables.summary_sentences(make())
    assert sentences[0] == "Both backends agree in all 4 cells; the largest deviation from the reference is 3.0e-15."
    assert "up to 0.12 apart" in sentences[1]
    unchecked = make(edit=lambda row, position: row.update(deviation=math.nan, floor=math.nan, verdict="unchecked"))
    assert tables.summary_sentences(unchecked)[0] == "Parity not checked in this run."


def test_curves_that_coincide_say_so_and_native_ones_show_only_what_was_logged():
    controlled = figures.learning_curves(make())
    texts = [text.get_text() for ax in controlled.axes for text in ax.texts]
    assert texts == ["2 lines lie on one another\nlargest distance 0"] * 4
    native = figures.learning_curves(make(), "native")
    assert [ax.get_title(loc="left") for ax in native.axes] == ["logged loss"]
    assert figures.learning_curves(make(backends=("numpy",)), "native") is None


def test_of_several_seeds_those_that_finished_draw_the_curve():
    def edit(row, position):
        no_validation(row, position)
        if row["seed"] == 0 and (row["mode"] == "native" or row["backend"] == "torch"):
            row["status"] = "crashed"

    study = make(seeds=3, edit=edit)
    seeds = study.rows.set_index("trial_id")["seed"]
    for lines, which in (controlled_lines(study), native_lines(study)):
        assert lines
        for line in lines:  # in mode controlled numpy too, so that both are means of the same seeds
            assert set(seeds[line.points["trial_id"]]) == {1, 2}
        assert ", mean ± standard deviation of 2 of 3 seeds" in which


def test_without_a_validation_split_the_lowest_training_loss_is_drawn():
    losses = {(0, 0): 0.5, (0, 1): 0.4, (1, 0): 0.1, (1, 1): 0.9}

    def edit(row, position):
        no_validation(row, position)
        row["train_loss"] = losses[position]

    study = make(edit=edit)
    place = study.rows.set_index("trial_id")[["learning_rate", "l2"]]
    for lines, _ in (controlled_lines(study), native_lines(study)):
        assert lines
        drawn = place.loc[[trial for line in lines for trial in line.points["trial_id"]]]
        assert set(drawn.itertuples(index=False, name=None)) == {(0.1, 1e-5)}
    assert "the lowest training loss" in controlled_lines(study)[1]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["learning_rate", "l2"], ("learning_rate", "l2", ())),
        (["l2", "learning_rate"], ("learning_rate", "l2", ())),
        (["l2", "hidden"], ("hidden", "l2", ())),
        (["hidden", "learning_rate", "batch_size"], ("learning_rate", "hidden", ("batch_size",))),
        (["l2"], ("l2", None, ())),
        ([], (None, None, ())),
    ],
)
def test_axes_find_their_place(names, expected):
    found = grid(names)
    assert (found.row, found.column, found.others) == expected


@pytest.mark.parametrize(
    ("axes", "n_panels"),
    [({}, 1), ({"l2": [0.0, 1e-3, 0.1]}, 1), ({**AXES, "hidden": [[50], [100, 30], []]}, 3)],
)
def test_no_axis_one_axis_and_three_axes_give_a_report(axes, n_panels, tmp_path):
    study = make(axes=axes, backends=("numpy",), modes=("controlled",))
    assert len(panels(figures.score_heatmaps(study, "controlled", "test"))) == n_panels
    assert reports.write(study, tmp_path).is_file()
    trials = pd.read_csv(tmp_path / "tables" / "trials.csv")
    assert list(trials["trial_id"]) == list(study.rows["trial_id"])


def test_a_report_on_trials_that_are_all_pending_says_so(tmp_path):
    study = make(edit=lambda row, position: row.update(status="pending", verdict="unchecked", floor=math.nan))
    page = reports.write(replace(study, curves=study.curves[:0]), tmp_path).read_text("utf-8")
    assert "Of 16 planned trials, 0 finished; 16 pending." in page


def test_hostile_names_stay_text(tmp_path):
    bad = "<script>alert(1)</script> $\\frac{1}{0}$"
    study = make(axes={"optimizer": [bad, "sgd"]}, backends=("numpy", bad), title=bad)
    study = replace(study, name=bad, facts={bad: bad}, warnings=[bad])
    page = reports.write(study, tmp_path).read_text("utf-8")
    assert page.lower().count("<script") == 2  # the page's own: the rows and what draws them
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_stands_alone_and_describes_every_figure(tmp_path):
    before = dict(matplotlib.rcParams)
    page = reports.write(make(), tmp_path).read_text("utf-8")
    assert dict(matplotlib.rcParams) == before
    drawn = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)]
    assert len(drawn) == 8
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in drawn)
    shown = [text.text for text in drawn[0].iter("{http://www.w3.org/2000/svg}text")]
    assert shown.count("0.625") == 2  # the numbers of the heatmaps are text, one a backend
    outside = re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', page)
    assert outside == []
    assert "url(http" not in page
    assert "<b>outlined</b> one is the best by validation accuracy" in page
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"overview.png", "controlled-test.png", "native-difference.png"} <= written


def test_the_page_explains_no_choice_that_was_not_made(tmp_path):
    study = make(axes={"l2": [1e-5, 1e-3]}, backends=("numpy",), edit=no_validation)
    study = replace(study, curves=study.curves.drop(columns=["validation_loss", "validation_accuracy"]))
    page = " ".join(reports.write(study, tmp_path).read_text("utf-8").split())
    assert "best by validation accuracy" not in re.sub(r"</?b>", "", page)
    assert "the lowest training loss (there is no validation split)" in page


def test_the_page_names_the_tolerances_that_are_applied(tmp_path):
    page = reports.write(make(axes={}, backends=("numpy",), modes=("controlled",)), tmp_path).read_text("utf-8")
    (note,) = re.findall(r"Agree: no further .*?</p>", " ".join(page.split()))
    said = re.search(r"than (\S+) floors, or (\S+) in float64, (\S+) in float32\..* more than (\S+) above chance", note)
    floors, float64, float32, learned = map(float, said.groups())
    assert floors == parity.tolerance(1.0, "float64") == parity.tolerance(1.0, "float32") == 100
    assert float64 == parity.tolerance(None, "float64")
    assert float32 == parity.tolerance(None, "float32")
    assert learned == tables.LEARNED


def test_the_page_says_how_many_trials_outside_it_leaves_to_the_table(tmp_path, monkeypatch):
    def edit(row, position):
        row.update(verdict="differs", deviation=1e-3)

    monkeypatch.setattr("reports.page.LISTED", 2)
    study = make(axes={}, backends=("numpy",), modes=("controlled",), seeds=5, edit=edit)
    page = reports.write(replace(study, curves=study.curves[:0]), tmp_path).read_text("utf-8")
    assert page.count("1.0e-3</bdi></td>") == 2 + 1  # the trials that are listed, and the largest in the parity table
    assert re.findall(r"And (\d+) more: all stand in <code>tables/outside.csv</code>", page) == ["3"]
    assert len(pd.read_csv(tmp_path / "tables" / "outside.csv")) == 5


def test_a_second_report_leaves_no_old_picture_and_no_foreign_file_is_touched(tmp_path):
    write(make(), tmp_path)
    written = {path.name for folder in ("figures", "tables") for path in (tmp_path / folder).iterdir()}
    assert written <= set(OWN_FILES)
    (tmp_path / "figures/mine.png").write_text("kept")
    native = make()
    native = replace(native, rows=native.rows[native.rows["mode"] == "native"])
    write(native, tmp_path)
    assert not list((tmp_path / "figures").glob("controlled-*"))
    assert (tmp_path / "figures/mine.png").read_text() == "kept"


def regression(row, position):
    """An edit that makes a trial a regression, with an R² that falls below zero at the first learning rate."""
    row.update(task="regression", chance=0.0)
    for split in SPLITS:
        row.update({f"{split}_accuracy": math.nan, f"{split}_r2": 0.9 if position[-1] else -2.5})
        row.update({f"{split}_mse": 0.01, f"{split}_mae": 0.08})


def mixed(edit=None, **kwargs):
    """Two cases, a regression and a binary classification, at two learning rates."""

    def change(row, position):
        if row["case"] == "curve":
            regression(row, position)
        else:
            row.update(task="binary", chance=0.5, test_accuracy=0.65, test_auc=0.77, test_f1=0.66)
        if edit:
            edit(row, position)

    return make(axes={"case": ["curve", "gate"], "learning_rate": [0.01, 0.1]}, edit=change, **kwargs)


def written(page):
    """The text of a page without its figures, its script, its styles and its tags."""
    text = re.sub(r"<(svg|script|style).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_a_regression_is_drawn_by_its_r2_and_what_is_below_zero_keeps_its_number():
    study = make(edit=regression, backends=("numpy",))
    assert study.scores == ("r2",)
    figure = figures.score_heatmaps(study, "controlled", "test", "r2")
    (ax,) = panels(figure)
    assert figure.texts[0].get_text() == "Test R², mode controlled"
    assert (at(ax, 0, 0), at(ax, 0, 1)) == (["−2.500"], ["0.900"])
    assert colour(ax, 0, 0) == pytest.approx(matplotlib.colormaps["viridis"](0.0)[:3])
    assert colour(ax, 0, 1) == pytest.approx(matplotlib.colormaps["viridis"](0.9)[:3])
    assert outlined(ax) == [(0, 1)]
    assert "best by validation R²" in [text.get_text() for a in figure.axes for text in a.texts]


def test_a_cell_of_another_task_stays_blank_and_a_failed_one_does_not():
    def edit(row, position):
        if position == (0, 0):
            row["status"] = "crashed"

    study = mixed(edit, backends=("numpy",))
    assert study.scores == ("accuracy", "r2")
    (by_accuracy,) = panels(figures.score_heatmaps(study, "controlled", "test", "accuracy"))
    (by_r2,) = panels(figures.score_heatmaps(study, "controlled", "test", "r2"))
    assert [at(by_accuracy, 0, column) for column in (0, 1)] == [["–"], ["0.650"]]
    assert [at(by_r2, row, 1) for row in (0, 1)] == [["–"], ["–"]]
    assert colour(by_r2, 0, 1) == pytest.approx(to_rgb("white"))
    assert (at(by_r2, 0, 0), at(by_r2, 1, 0)) == (["crashed"], ["0.900"])
    lost = mixed(lambda row, position: row.update(status="crashed") if row["case"] == "curve" else None)
    assert lost.scores == ("accuracy", "r2")  # a task of which nothing finished is still drawn


def test_a_line_of_panels_whose_tasks_all_have_another_score_is_left_out():
    study = make(axes={"learning_rate": [0.01, 0.1], "l2": [0.0], "case": ["curve", "gate"]}, backends=("numpy",))
    rows = study.rows.assign(task=study.rows["case"].map({"curve": "regression", "gate": "binary"}))
    study = replace(study, rows=rows)
    (ax,) = panels(figures.score_heatmaps(study, "controlled", "test", "accuracy"))
    figure = ax.figure
    texts = [text.get_text() for text in figure.texts] + [text.get_text() for a in figure.axes for text in a.texts]
    assert "case = gate" in texts
    assert "case = curve" not in texts
    assert not any("another task" in text for text in texts)


def test_each_score_has_its_own_best_cell_chance_and_sentence():
    study = mixed()
    table = tables.best_table(study, "controlled")
    assert list(table["case"]) == ["gate", "gate", "curve", "curve"]
    assert list(table["test_accuracy"].fillna(-1)) == [0.65, 0.65, -1, -1]
    assert list(table["test_r2"].fillna(-1)) == [-1, -1, 0.9, 0.9]
    # 0.65 is not 0.2 above 0.5; one of the two R² is above 0.2
    assert list(tables.parity_table(study)["learned"]) == [1, 1]
    sentences = tables.summary_sentences(study)
    assert any(text.startswith("Test R² of the best cell, chosen by validation R²: 0.900") for text in sentences)
    assert any(
        text.startswith("Test accuracy of the best cell, chosen by validation accuracy: 0.6") for text in sentences
    )


def test_the_metrics_of_the_best_cells_are_those_that_exist(tmp_path):
    study = mixed()
    records = tables.metrics_table(study).to_dict("records")
    assert list(records[0])[-7:] == [f"test_{name}" for name in style.METRICS]
    gate, curve = records[0], records[2]
    assert (gate["case"], gate["test_accuracy"], gate["test_auc"], gate["test_f1"]) == ("gate", 0.65, 0.77, 0.66)
    assert (curve["case"], curve["test_mse"], curve["test_mae"], curve["test_r2"]) == ("curve", 0.01, 0.08, 0.9)
    assert math.isnan(gate["test_mse"])
    assert list(tables.metrics_table(make()))[-2:] == ["test_accuracy", "test_loss"]
    page = written(reports.write(study, tmp_path).read_text("utf-8"))
    assert "test accuracy test loss test ROC AUC test F1 test MSE test MAE test R²" in page
    assert "test accuracy or test R² more than 0.2 above chance, which is 0.5 for accuracy, 0 for R²." in page
    assert {"controlled-test.png", "controlled-test-r2.png", "overview-r2.png", "native-difference-r2.png"} <= {
        path.name for path in (tmp_path / "figures").iterdir()
    }
    drawn = {path.name for folder in ("figures", "tables") for path in (tmp_path / folder).iterdir()}
    assert drawn <= set(OWN_FILES)


def test_an_r2_curve_is_cut_where_it_is_far_below_zero_and_says_so():
    study = make(axes={"learning_rate": [0.01, 0.1]}, edit=regression)
    curves = study.curves.assign(train_r2=[-40.0, 0.5, 0.8] * (len(study.curves) // 3), train_accuracy=math.nan)
    figure = figures.learning_curves(replace(study, curves=curves), "controlled", "r2")
    titles = {ax.get_title(loc="left"): ax for ax in figure.axes}
    assert "training accuracy" not in titles
    assert titles["training R² (cut at −1)"].get_ylim()[0] == -1


@pytest.mark.parametrize("axis", ["case", "init"])
def test_labels_of_words_are_turned_where_they_would_overlap(axis):
    names = ["normal(0.1)", "glorot_uniform", "he_normal"]
    figure = figures.score_heatmaps(make(axes={"learning_rate": [0.01, 0.1], axis: names}), "controlled", "test")
    figure.canvas.draw()
    for ax in panels(figure):
        labels = ax.get_xticklabels()
        assert [label.get_text() for label in labels] == names
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))
        assert all(box.y0 > ax.xaxis.label.get_window_extent().y1 for box in boxes)
    (single,) = panels(figures.score_heatmaps(make(axes={axis: names}, backends=("numpy",)), "native", "test"))
    assert [label.get_text() for label in single.get_yticklabels()] == names


def search(edit=None, sampled=None, n=14, backends=("numpy", "torch"), **kwargs):
    """A random search: the learning rate falls with the number of the point and the validation accuracy rises."""
    drawn = sampled or {"learning_rate": lambda i: 10.0**-i, "activation": lambda i: "tanh", "l2": lambda i: i / 10}

    def change(row, position):
        row.update({name: law(position[0]) for name, law in drawn.items()})
        row.update(validation_accuracy=position[0] / 20, test_accuracy=0.9 - position[0] / 20)
        if edit:
            edit(row, position)

    study = make(axes={"point": list(range(n))}, edit=change, backends=backends, **kwargs)
    return replace(study, sampled=tuple(drawn))


def dots(ax, label):
    """The places of the marks of one kind, rounded."""
    return [tuple(c.get_offsets()[0].round(14)) for c in ax.collections if c.get_label() == label]


def scattered(figure):
    return [ax for ax in figure.axes if any(c.get_label() == "trial" for c in ax.collections)]


def test_a_random_search_is_drawn_over_its_first_two_numbers():
    figure = figures.score_scatter(search(), ["controlled"], "accuracy")
    first, second = scattered(figure)
    assert (first.get_xlabel(), first.get_ylabel(), second.get_ylabel()) == ("learning_rate", "l2", "")
    assert (first.get_xscale(), first.get_yscale()) == ("log", "linear")  # l2 has a zero
    assert first.get_xlim() == second.get_xlim()
    assert dots(first, "trial")[:2] == [(1.0, 0.0), (0.1, 0.1)]
    faces = [c.get_facecolor()[0][:3] for c in first.collections if c.get_label() == "trial"]
    low = 0.0  # the lowest accuracy of the study, a validation accuracy, rounded down
    assert faces[0] == pytest.approx(matplotlib.colormaps["viridis"]((0.9 - low) / (1 - low))[:3])
    assert dots(first, "best") == [(round(10.0**-13, 14), 1.3)]


def test_failed_points_are_crosses_and_chaotic_ones_hollow():
    def edit(row, position):
        if position == (13,):
            row["status"] = "crashed"
        if position == (12,) and row["mode"] == "controlled":
            row["verdict"] = "chaotic"

    study = search(edit)
    figure = figures.score_scatter(study, ["controlled"], "accuracy")
    for ax in scattered(figure):
        assert [y for _, y in dots(ax, "failed")] == [1.3]
        assert [y for _, y in dots(ax, "chaotic")] == [1.2]
        assert [y for _, y in dots(ax, "best")] == [1.1]
        (hollow,) = [c for c in ax.collections if c.get_label() == "chaotic"]
        assert tuple(hollow.get_facecolor()[0][:3]) == to_rgb("white")
    assert [text.get_text() for text in figure.texts].count("13 ok, 1 crashed") == 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "best by validation accuracy",
        "hollow: chaotic, rounding alone decides the result",
        "no result from all or some seeds",
    ]


def test_with_a_single_number_the_score_is_the_height():
    def edit(row, position):
        regression(row, position)
        row["test_r2"] = -50.0 if position == (0,) else position[0] / 20
        if position == (3,):
            row["status"] = "diverged"

    study = search(edit, sampled={"momentum": lambda i: 0.5 + i / 50, "activation": lambda i: "tanh"})
    ax = scattered(figures.score_scatter(study, ["native"], "r2"))[0]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("momentum", "test R²", "linear")
    assert dots(ax, "below") == [(0.5, -0.2)]
    assert dots(ax, "trial")[0] == (0.52, 0.05)
    assert [x for x, _ in dots(ax, "failed")] == [0.56]


def test_the_ten_best_points_stand_in_order_with_what_was_drawn(tmp_path):
    def edit(row, position):
        if position == (13,) and row["backend"] == "torch":
            row["status"] = "diverged"
        if position == (2,) and row["backend"] == "torch":
            row["test_accuracy"] = 0.5

    study = search(edit)
    table = tables.best_points(study)
    mine = {name: table[(table["backend"] == name) & (table["mode"] == "native")] for name in ("numpy", "torch")}
    assert list(mine["numpy"]["point"]) == list(range(13, 3, -1))
    assert list(mine["torch"]["point"]) == list(range(12, 2, -1))
    assert list(mine["torch"]["rank"]) == list(range(1, 11))
    assert list(mine["torch"]["l2"])[:2] == [1.2, 1.1]
    page = reports.write(study, tmp_path).read_text("utf-8")
    assert "The ten best points of each backend by mean validation accuracy, best first." in page
    assert "apart in one cell (point 2, learning_rate 0.01, activation tanh, l2 0.2): numpy is highest" in page
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"controlled-search.png", "native-search.png", "controlled-deviation.png", "overview.png"} <= names
    assert not names & {"controlled-test.png", "native-difference.png"}
    assert names <= set(OWN_FILES)
    assert len(pd.read_csv(tmp_path / "tables" / "points.csv")) == 40


def test_without_test_and_validation_scores_a_search_draws_the_next_that_there_is():
    def no_test(row, position):
        row.update(test_accuracy=math.nan)

    def neither(row, position):
        row.update(test_accuracy=math.nan, validation_accuracy=math.nan)

    for edit, title in ((None, "Test"), (no_test, "Validation"), (neither, "Train")):
        figure = figures.score_scatter(search(edit), ["controlled"], "accuracy")
        assert figure.texts[0].get_text() == f"{title} accuracy, mode controlled"


def test_the_deviations_of_a_search_show_which_point_differs():
    def edit(row, position):
        if position == (5,) and row["backend"] == "torch":
            row.update(verdict="differs", deviation=1e-3)

    figure = figures.deviation_scatter(search(edit))
    assert [dots(ax, "differs") for ax in scattered(figure)] == [[], [(1e-5, 0.5)]]
    assert "1 differ, 13 agree" in [text.get_text() for text in figure.texts]


def published_study(edit=None, printed=None, **kwargs):
    table = pd.DataFrame(
        [(0.01, 1e-5, 0.8, 0.25), (0.01, 1e-3, 0.8, math.nan), (0.1, 1e-5, 0.7, 0.75), (0.1, 1e-3, 0.8, 0.625)],
        columns=["learning_rate", "l2", "train_accuracy", "test_accuracy"],
    )
    return replace(make(edit=edit, **kwargs), published=table if printed is None else printed)


def chaotic_corner(row, position):
    """An edit that makes one cell chaotic, and moves torch away from the published number in another."""
    if row["mode"] == "controlled" and position == (1, 1):
        row.update(verdict="chaotic", test_accuracy=0.1)
    if row["backend"] == "torch" and position == (0, 0):
        row["test_accuracy"] += 1e-8


def test_the_published_heatmap_stands_beside_ours_with_ticks_where_they_are_equal():
    figure = figures.published_heatmaps(published_study(chaotic_corner))
    train, test = panels(figure)[:3], panels(figure)[3:]
    assert [len(train), len(test)] == [3, 3]
    assert [at(ax, 0, 0) for ax in test] == [["0.250"], ["0.250", "✓"], ["0.250"]]  # torch is 1e-8 away
    assert [at(ax, 0, 1) for ax in test] == [["illegible"], ["0.500"], ["0.500"]]
    assert [at(ax, 1, 0) for ax in train] == [["0.700"], ["0.800"], ["0.800"]]
    assert all(hatched(ax) == [(1, 1)] for ax in (*train, *test))
    assert all(outlined(ax) == [] for ax in (*train, *test))
    assert colour(train[0], 0, 0) == colour(train[1], 0, 0)
    texts = [text.get_text() for text in figure.texts] + [t.get_text() for ax in figure.axes for t in ax.texts]
    assert {"Training accuracy", "Test accuracy", "published", "equal to the published number to 1e-9"} <= set(texts)


def test_what_was_reproduced_is_counted_over_legible_cells_that_are_not_chaotic(tmp_path):
    study = replace(published_study(chaotic_corner), notes=["Printed in <2023>.", "Read from a picture."])
    sentences = tables.summary_sentences(study)
    which = "legible training accuracies that can be compared (cells neither chaotic nor diverged)"
    assert f"numpy reproduced 2 of the 3 {which} and 2 of 2 test accuracies exactly." in sentences
    assert f"torch reproduced 2 of the 3 {which} and 1 of 2 test accuracies exactly." in sentences
    page = reports.write(study, tmp_path).read_text("utf-8")
    assert "<p>Printed in &lt;2023&gt;.</p>" in page
    assert page.index("Read from a picture.") < page.index("<h2>Parity</h2>")
    assert {"published.csv", "reproduced.csv"} <= {path.name for path in (tmp_path / "tables").iterdir()}
    assert {p.name for f in ("figures", "tables") for p in (tmp_path / f).iterdir()} <= set(OWN_FILES)
    table = pd.read_csv(tmp_path / "tables" / "reproduced.csv").set_index(["backend", "split"])
    assert table.loc[("torch", "test"), "largest_difference"] == pytest.approx(1e-8)
    assert table.loc[("numpy", "train"), "largest_difference"] == pytest.approx(0.1)
    assert list(table.loc[("numpy", "train")])[:6] == [4, 1, 0, 0, 3, 2]  # one of four is chaotic


def test_a_published_cell_without_our_result_or_outside_of_the_grid_is_told():
    def edit(row, position):
        if row["backend"] == "torch" and position == (0, 0):
            row["status"] = "diverged"

    printed = pd.DataFrame({"learning_rate": [0.01, 5.0], "l2": [1e-5, 1e-5], "test_accuracy": [0.25, 0.5]})
    study = published_study(edit, printed)
    sentences = tables.summary_sentences(study)
    which = "legible test {} that can be compared (cells neither chaotic nor diverged) exactly."
    assert f"numpy reproduced 1 of the 1 {which.format('accuracy')}" in sentences
    assert f"torch reproduced 0 of the 0 {which.format('accuracies')}" in sentences
    assert list(tables.published.reproduced_table(study)["diverged"]) == [0, 1]
    assert "1 published cell lies outside of this grid." in sentences
    published, _, torch = panels(figures.published_heatmaps(study))
    assert (at(published, 1, 1), at(torch, 0, 0)) == (["not\nprinted"], ["diverged"])


def test_a_chaotic_cell_that_happens_to_be_equal_is_not_ticked_and_equal_counts_are_told_once():
    def edit(row, position):
        if row["mode"] == "controlled" and position == (0, 0):
            row["verdict"] = "chaotic"
        if row["mode"] == "controlled" and position == (1, 1):
            row["status"] = "crashed"

    study = published_study(edit)
    _, numpy_panel, _ = panels(figures.published_heatmaps(study))[3:]
    assert at(numpy_panel, 0, 0) == ["0.250"]  # the published number, by chance
    assert at(numpy_panel, 1, 0) == ["0.750", "✓"]
    (sentence,) = [text for text in tables.summary_sentences(study) if "reproduced" in text]
    assert sentence.startswith("Both backends reproduced 1 of the 2 legible training accuracies")
    assert sentence.endswith("and 1 of 1 test accuracy exactly; 1 cell of ours did not finish.")


def test_a_study_without_published_numbers_speaks_of_none(tmp_path):
    page = reports.write(make(), tmp_path).read_text("utf-8")
    assert "ublished" not in written(page)
    assert not list(tmp_path.rglob("published*"))


def test_the_summary_says_how_many_stopped_early_and_when():
    def edit(row, position):
        row.update(epochs=30, epochs_run=30)
        if row["mode"] == "native" and row["backend"] == "torch":
            row["epochs_run"] = 10 + 4 * position[0] + position[1]  # 10, 11, 14, 15
        if position == (0, 0) and row["backend"] == "torch":
            row.update(status="diverged", epochs_run=2)  # which is a failure, and not early stopping

    sentences = tables.summary_sentences(make(edit=edit))
    assert (
        "Finished trials that stopped early, before their planned epochs: 3 of 7 in mode native (median epoch 14)."
        in sentences
    )

    def whole(row, position):
        row.update(epochs=30, epochs_run=30)

    assert not [text for text in tables.summary_sentences(make(edit=whole)) if "early" in text]


def several(edit=None, axis="dataset", names=("and", "or"), **kwargs):
    """Two problems at two learning rates: the second has the better scores, and the better cell at another place."""

    def change(row, position):
        if axis == "case":
            row["dataset"] = ("and", "or")[position[0]]
        better = [(0.5, 0.6), (0.9, 0.8)][position[0]][position[1]]
        row.update(validation_accuracy=better, test_accuracy=better - 0.1)
        if edit:
            edit(row, position)

    return make(axes={axis: list(names), "learning_rate": [0.01, 0.1]}, edit=change, **kwargs)


@pytest.mark.parametrize("axis", ["dataset", "case"])
def test_the_best_cell_is_chosen_within_each_data_set(axis, tmp_path):
    study = several(axis=axis)
    table = tables.best_table(study, "controlled")
    chosen = zip(table["backend"], table["dataset"], table["learning_rate"], strict=True)
    assert list(chosen) == [("numpy", "and", 0.1), ("torch", "and", 0.1), ("numpy", "or", 0.01), ("torch", "or", 0.01)]
    rows = {0.01: 0, 0.1: 1}
    for ax in panels(figures.score_heatmaps(study, "controlled", "test")):
        assert sorted(outlined(ax)) == sorted((rows[rate], column) for rate, column in ((0.1, 0), (0.01, 1)))
    assert list(tables.metrics_table(study)["test_accuracy"].head(4)) == pytest.approx([0.5, 0.5, 0.8, 0.8])
    sentences = tables.summary_sentences(study)
    assert any("within each data set, 2 of them: see the table of best cells" in text for text in sentences)
    assert not any("Test accuracy of the best cell" in text for text in sentences)
    page = written(reports.write(study, tmp_path).read_text("utf-8"))
    assert "the best by validation accuracy of each data set." in " ".join(page.split()).replace(" one is ", " ")
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"controlled-curves.png", "controlled-curves-2.png"} <= drawn <= set(OWN_FILES)


def test_the_curves_of_each_problem_are_those_of_its_own_best_cell():
    study = several()
    place = study.rows.set_index("trial_id")[["dataset", "learning_rate"]]
    for problem, expected in zip(study.problems("accuracy"), (("and", 0.1), ("or", 0.01)), strict=True):
        lines, which = controlled_lines(study, "accuracy", problem)
        drawn = place.loc[[trial for line in lines for trial in line.points["trial_id"]]]
        assert set(drawn.itertuples(index=False, name=None)) == {expected}
        assert which.startswith(f"dataset {expected[0]}")


def test_of_many_problems_four_get_curves(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    reports.write(make(axes={"dataset": names}, backends=("numpy",), modes=("controlled",)), tmp_path)
    drawn = {path.name for path in (tmp_path / "figures").glob("*curves*")}
    assert drawn == {"controlled-curves.png", *(f"controlled-curves-{i}.png" for i in (2, 3, 4))}


def test_a_task_is_a_problem_of_its_own():
    def edit(row, position):
        row["task"] = ["binary", "multilabel"][position[0]]

    study = several(edit, axis="init", names=("x", "y"))
    assert list(tables.best_table(study, "native")["task"]) == ["binary", "binary", "multilabel", "multilabel"]


def test_cells_that_diverged_in_both_are_told():
    def edit(row, position):
        if row["mode"] == "controlled" and position in ((0, 0), (1, 1)):
            row["status"] = "diverged"

    expected = "Both backends agree in all 4 cells (2 of them diverged in both, backend and reference)"
    assert tables.summary_sentences(make(edit=edit))[0].startswith(expected)
    assert "diverged in both" not in tables.summary_sentences(make())[0]


def lacking(row, position):
    """An edit in which torch does not support the cell that is best for the others."""
    if row["backend"] == "torch" and position == (0, 1):
        row.update(status="unsupported", reason="torch has no such thing", verdict="unchecked")


def test_best_cells_that_differ_because_one_backend_supports_fewer_are_named():
    sentences = tables.summary_sentences(
        make(backends=("numpy", "keras", "torch"), modes=("controlled",), edit=lacking)
    )
    assert (
        "Test accuracy of the best cell, chosen by validation accuracy: in mode controlled 0.500 by numpy and keras "
        "(learning_rate 0.01, l2 1e-3), 0.750 by torch (learning_rate 0.1, l2 1e-5, finished 3 of 4 cells)."
    ) in sentences


def test_who_agrees_where_and_what_is_unsupported_is_told_with_the_reason():
    sentences = tables.summary_sentences(make(modes=("controlled",), edit=lacking))
    assert sentences[0].startswith("Both backends agree in all cells that were compared (4 of numpy, 3 of torch);")
    assert "1 cell is unsupported by torch: torch has no such thing." in sentences
    assert not any("could not be compared" in text for text in sentences)


def test_reasons_that_differ_in_a_word_are_merged():
    reasons = ["It has no ELU: it has tanh", "It has no leaky ReLU: it has tanh", "Too large."]
    assert agreement.merged(reasons) == "It has no ELU, leaky ReLU: it has tanh; Too large"


def test_a_chaotic_trial_never_counts_as_learned():
    def edit(row, position):
        if row["mode"] == "controlled" and position == (1, 0):
            row["verdict"] = "chaotic"

    plain, chaotic = (tables.parity_table(make(edit=e)) for e in (None, edit))
    assert (list(plain["learned"]), list(chaotic["learned"])) == ([3, 3], [2, 2])


LONG = "native mode hands a framework its plain hyperparameters; " + "dropout, patience and more, " * 25


def test_a_mode_without_any_result_gets_a_sentence_and_no_picture(tmp_path):
    def edit(row, position):
        if row["mode"] == "native":
            row.update(status="unsupported", reason=LONG)

    study = make(edit=edit)
    page = reports.write(study, tmp_path).read_text("utf-8")
    assert not list((tmp_path / "figures").glob("native*"))
    headings = [text.get_text() for text in figures.overview(study, "accuracy").texts]
    assert any(text.startswith("controlled:") for text in headings)
    assert not any(text.startswith("native:") for text in headings)
    told = [text for text in tables.summary_sentences(study) if LONG[:40] in text]
    assert len(told) == 1
    assert told[0].startswith("Mode native has no result, in every backend unsupported: native mode hands")
    assert told[0][:300] in html.unescape(page)
    assert "White: the same" not in page


@pytest.mark.parametrize("sampled", [False, True])
def test_a_long_reason_stays_inside_its_panel(sampled):
    def edit(row, position):
        if row["backend"] == "torch":
            row.update(status="unsupported", reason=LONG, verdict="unchecked")

    draw = (lambda s: figures.score_scatter(s, ["controlled"], "accuracy")) if sampled else (
        lambda s: figures.score_heatmaps(s, "controlled", "test"))  # fmt: skip
    figure = draw(search(edit) if sampled else make(edit=edit))
    figure.canvas.draw()
    ((ax, text),) = [(a, t) for a in figure.axes for t in a.texts if t.get_text().startswith("unsupported")]
    box, frame = text.get_window_extent(), ax.get_window_extent()
    assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
    assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
    assert text.get_text().endswith("…")


def test_a_long_subtitle_is_wrapped_and_not_cut_off():
    study = make(
        axes={"case": ["a rather long name of a case, with commas", "b"]},
        edit=no_validation,
        title="a long title " * 20,
    )
    study = replace(study, curves=study.curves.drop(columns=["validation_loss", "validation_accuracy"]))
    saturated = replace(study, rows=study.rows.assign(test_accuracy=1.0))
    for figure in (
        figures.learning_curves(study),
        figures.case_curves(saturated, "accuracy"),
        figures.deviation_heatmaps(study),
    ):
        figure.canvas.draw()
        assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in figure.texts)


def test_a_deviation_of_exactly_zero_has_the_palest_colour_of_the_scale():
    (ax,) = panels(figures.deviation_heatmaps(make(backends=("numpy",), edit=lambda r, p: r.update(deviation=0.0))))
    palest = matplotlib.colormaps["Blues"](0.02)[:3]
    assert colour(ax, 0, 0) == pytest.approx(palest, abs=1e-2)
    assert colour(ax, 0, 0) != pytest.approx(to_rgb(style.NEUTRAL), abs=1e-2)


def saturated(edit=None, names=("SGD", "momentum", "Adam"), **kwargs):
    """A regression of one axis of words in which every cell has the same R²."""

    def change(row, position):
        regression(row, position)
        row.update({f"{split}_r2": 1.0 for split in SPLITS})
        if edit:
            edit(row, position)

    return make(axes={"case": list(names)}, edit=change, modes=("controlled",), **kwargs)


def test_where_the_score_is_the_same_in_all_cells_their_losses_are_drawn(tmp_path):
    def edit(row, position):
        if row["backend"] == "numpy" and position == (1,):
            row.update(status="unsupported", reason="no momentum", verdict="unchecked")

    study = saturated(edit)
    figure = figures.case_curves(study, "r2")
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["SGD", "momentum", "Adam"]
    assert ax.get_yscale() == "log"
    assert "torch, mode controlled" in figure.texts[1].get_text()  # the first that finished all
    assert figures.case_curves(saturated(lambda row, p: row.update(train_r2=p[0] / 3, test_r2=p[0] / 3)), "r2") is None
    assert figures.case_curves(saturated(names=[f"c{i}" for i in range(13)]), "r2") is None
    assert figures.case_curves(make(), "accuracy") is None
    reports.write(study, tmp_path)
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "controlled-cases.png" in drawn
    assert drawn <= set(OWN_FILES)


def test_of_a_single_cell_nothing_is_the_best(tmp_path):
    study = make(axes={}, modes=("controlled",))
    (one, two) = panels(figures.score_heatmaps(study, "controlled", "test"))
    assert outlined(one) == outlined(two) == []
    assert "Test accuracy: 0.500 in mode controlled (2 backends)." in tables.summary_sentences(study)
    page = written(reports.write(study, tmp_path).read_text("utf-8"))
    assert "best" not in page.lower()
    assert "Means over the seeds that finished." in page  # the table of metrics stays


def test_unsupported_in_a_narrow_cell_is_a_sign_that_the_legend_explains():
    def edit(row, position):
        if position[1] == 3:
            row.update(status="unsupported", reason="no", verdict="unchecked")

    axes = {"learning_rate": [0.01, 0.1], "l2": [0.0, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0]}
    figure = figures.score_heatmaps(make(axes=axes, edit=edit), "controlled", "test")
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    for ax in panels(figure):
        assert at(ax, 0, 3) == ["×"]
        assert inside(ax, 0, 3)[0].get_size() > 7
    assert "unsupported by that backend" in texts
    assert not any("the word says why" in text for text in texts)
    wide = figures.score_heatmaps(make(edit=lacking), "controlled", "test")
    assert at(panels(wide)[1], 0, 1) == ["unsupported"]


def test_a_dot_marks_the_epoch_that_early_stopping_kept_and_who_is_left_out_is_said():
    def edit(row, position):
        row.update(patience=2, min_delta=0.0)
        if row["backend"] == "torch":
            row.update(status="unsupported", reason="no", verdict="unchecked")

    study = make(modes=("controlled",), edit=edit)
    losses = {0: 0.1, 1: 0.5, 2: 0.7}  # of epoch 0 no weights are kept
    study = replace(study, curves=study.curves.assign(validation_loss=study.curves["epoch"].map(losses)))
    figure = figures.learning_curves(study)
    dots = [line for ax in figure.axes for line in ax.lines if line.get_label() == "restored"]
    assert [list(line.get_xdata()) for line in dots] == [[1]] * 4
    subtitle = " ".join(text.get_text() for text in figure.texts)
    assert "without torch (unsupported)" in subtitle
    assert "dot: the epoch that early stopping kept" in subtitle
    plain = figures.learning_curves(make())
    assert not [line for ax in plain.axes for line in ax.lines if line.get_label() == "restored"]


def test_equal_points_of_all_backends_are_printed_once_in_mode_controlled():
    points = best.once(tables.best_points(search()))
    assert list(points["backend"].value_counts()[["numpy and torch", "numpy", "torch"]]) == [10, 10, 10]

    def edit(row, position):
        if row["backend"] == "torch" and position == (9,):
            row["test_accuracy"] = 0.1

    assert len(best.once(tables.best_points(search(edit)))) == 40


def test_the_page_prints_a_name_once_and_counts_in_words(tmp_path):
    study = make(axes={}, backends=("numpy",), modes=("controlled",), title="small")
    page = written(reports.write(study, tmp_path).read_text("utf-8"))
    assert page.count("small") == 2  # the title of the window, and the heading
    assert "The one planned trial finished." in page
    assert "median training time" in page
    assert "seconds" not in page


def test_a_backend_without_a_best_cell_has_no_row():
    def edit(row, position):
        if row["backend"] == "torch":
            row["status"] = "diverged"

    table = tables.best_table(make(edit=edit), "native")
    assert (list(table["backend"]), list(table["seeds"])) == (["numpy"], [1])


def test_lists_of_layers_stand_down_where_there_is_room_for_their_names():
    assert grid(["learning_rate", "layers"]) == grid(["layers", "learning_rate"])
    assert (grid(["learning_rate", "layers"]).row, grid(["learning_rate", "layers"]).column) == (
        "layers",
        "learning_rate",
    )
    assert grid(["layers", "l2"], rows="l2", columns="layers").column == "layers"
