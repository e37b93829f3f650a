"""The figures that compare backends: what is drawn are the rows, and another row is another picture.

Expected texts and colours are computed here from the rows themselves; colours through the colour bar that a reader has.
"""

import io
import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from scipy import stats

from harness.registry import colours
from harness.training import parity
from reports import figures, pictures, statistics, style
from reports.figures import parity as parity_figure
from reports.figures.heatmaps import grid
from reports.figures.panels import exponents
from reports.study import MODES, SPLITS
from tests.baseline import assert_same_picture
from tests.test_reports import at, colour, dots, hatched, make, outlined, panels, published_study, saturated, search

RATES, PENALTIES = [0.01, 0.1, 1.0], [1e-5, 1e-3]
AXES = {"learning_rate": RATES, "l2": PENALTIES}


def lively(row, position):
    """An edit that gives every trial numbers of its own, a spread over the seeds, and some a mishap."""
    native = row["mode"] == "native"
    own = ("numpy", "sklearn", "tensorflow", "keras", "torch").index(row["backend"]) if native else 0
    noise = np.random.default_rng([*position, row["seed"], own])
    level = 0.3 + 0.2 * position[0] + 0.05 * position[1] + (0.2 if own and position[0] == 1 else 0.0)
    for k, split in enumerate(SPLITS):
        score = level - 0.02 * k + noise.normal(0, 0.02)
        row.update({f"{split}_accuracy": score, f"{split}_loss": 10 ** (1 - 3 * score)})
    row["train_seconds"] = 0.1 * (1 + own) * noise.lognormal(0, 0.2)
    if row["mode"] == "controlled":
        row.update(deviation=10 ** noise.uniform(-15, -13), floor=10 ** noise.uniform(-15.5, -14.5))
    if position == (2, 1):
        row["status"] = "diverged"
    if position == (2, 0):
        row.update({} if native else {"verdict": "chaotic", "deviation": 0.3, "floor": 0.1})
        if row["seed"] == 1:
            row["status"] = "crashed"
    if position == (0, 1) and row["mode"] == "controlled" and row["backend"] == "torch" and row["seed"] == 0:
        row.update(verdict="differs", deviation=2e-3)


def comparison(seeds=3, backends=("numpy", "sklearn", "torch"), edit=lively, axes=AXES, **kwargs):
    return make(axes=axes, backends=backends, seeds=seeds, edit=edit, title="Made up", **kwargs)


def trials(study, **where):
    """The rows with these values, as dicts."""
    found = study.rows
    for name, value in where.items():
        found = found[found[name] == value]
    return found.to_dict("records")


def finished(study, column, **where):
    return [row[column] for row in trials(study, **where) if row["status"] == "ok"]


def bar(figure):
    """The axes of the colour bar, whose limits are the ends of the scale."""
    (ax,) = [ax for ax in figure.axes if getattr(ax, "_colorbar", None)]
    return ax


def on_bar(figure, colours, value):
    """The colour that `value` has on the colour bar."""
    low, high = bar(figure).get_ylim()
    return matplotlib.colormaps[colours](min(max((value - low) / (high - low), 0.0), 1.0))[:3]


def same(drawn, expected):
    assert tuple(drawn) == pytest.approx(tuple(expected), abs=0.01)


def exactly(values):
    """Tiny numbers, to nine digits."""
    return pytest.approx(values, rel=1e-9, abs=0)


def cells(ax, study):
    """Every cell of a panel: its row and column, and what its trials have in common."""
    for (r, rate), (c, l2) in itertools.product(enumerate(study.axes["learning_rate"]), enumerate(study.axes["l2"])):
        yield r, c, {"learning_rate": rate, "l2": l2}


def mishaps(rows):
    """What did not finish, as a tile says it."""
    failed = [row["status"] for row in rows if row["status"] != "ok"]
    if not failed:
        return []
    return failed[:1] if len(failed) == len(rows) else [f"{len(failed)}/{len(rows)}", failed[0]]


def check_metric(figure, study, column="test_accuracy", modes=("controlled",)):
    write = {"test_loss": style.size, "train_seconds": style.seconds}.get(column, style.score)
    spread = (lambda v: style.number(v, 2)) if column == "test_loss" else write
    colours = "viridis" if column == "test_accuracy" else "viridis_r"
    drawn = panels(figure)
    assert len(drawn) == len(modes) * len(study.backends)
    for ax, (mode, backend) in zip(drawn, itertools.product(modes, study.backends), strict=True):
        for r, c, where in cells(ax, study):
            values = finished(study, column, mode=mode, backend=backend, **where)
            rows = trials(study, mode=mode, backend=backend, **where)
            below = [f"±{spread(np.std(values, ddof=1))}"] if len(values) > 1 else []
            below += mishaps(rows)
            expected = [write(np.mean(values))] if values else []
            assert at(ax, r, c) == expected + (["\n".join(below)] if below else [])
            if values:
                mean = np.mean(values)
                same(colour(ax, r, c), on_bar(figure, colours, mean if colours == "viridis" else math.log10(mean)))
            else:
                same(colour(ax, r, c), to_rgb(style.NEUTRAL))
            assert ((r, c) in hatched(ax)) == any(row["verdict"] == "chaotic" for row in rows)


def check_deviation(figure, study):
    for ax, backend in zip(panels(figure), study.backends, strict=True):
        for r, c, where in cells(ax, study):
            rows = trials(study, mode="controlled", backend=backend, **where)
            compared = [row for row in rows if not math.isnan(row["deviation"])]
            if not compared:
                assert at(ax, r, c) == mishaps(rows)
                continue
            worst = max(compared, key=lambda row: (row["verdict"] == "differs", row["deviation"]))
            differs = worst["verdict"] == "differs"
            below = (["differs"] if differs else []) + mishaps(rows)
            below = below or [style.magnitude(worst["floor"])]
            assert at(ax, r, c) == [style.magnitude(worst["deviation"]), "\n".join(below)]
            blues = np.linspace(0.02, 0.75, 256)
            low, high = bar(figure).get_ylim()
            place = (math.log10(worst["deviation"]) - low) / (high - low)
            same(colour(ax, r, c), to_rgb(style.ALARM) if differs else
                 matplotlib.colormaps["Blues"](blues[int(place * 256)])[:3])  # fmt: skip


def check_difference(figure, study, column="test_accuracy", base="numpy"):
    others = [name for name in study.backends if name != base]
    tests = {}
    for backend, (rate, l2) in itertools.product(others, itertools.product(RATES, PENALTIES)):
        pairs = [
            (mine[column], theirs[column])
            for mine in trials(study, mode="native", backend=backend, learning_rate=rate, l2=l2)
            for theirs in trials(study, mode="native", backend=base, learning_rate=rate, l2=l2)
            if mine["seed"] == theirs["seed"] and mine["status"] == theirs["status"] == "ok"
        ]
        tests[backend, rate, l2] = pairs, stats.ttest_rel(*zip(*pairs, strict=True)) if len(pairs) > 1 else None
    for ax, backend in zip(panels(figure), others, strict=True):
        ps = sorted(test.pvalue for (name, *_), (_, test) in tests.items() if name == backend and test)
        for r, c, where in cells(ax, study):
            pairs, test = tests[backend, where["learning_rate"], where["l2"]]
            if not pairs:
                assert at(ax, r, c) == ["both\ndiverged"]
                continue
            mean = np.mean([a - b for a, b in pairs])
            number = style.signed(mean)
            shown = True
            if test:
                # Holm: every p at most as large as this one passes its own step
                shown = all(p * (len(ps) - i) < 0.05 for i, p in enumerate(ps) if p <= test.pvalue)
                interval = test.confidence_interval(0.95)
                failed = ["both", "1/3", "crashed"] if len(pairs) < 3 else []
                half = f"±{style.score((interval.high - interval.low) / 2)}"
                assert at(ax, r, c) == ([] if shown else ["≈"]) + [number, "\n".join([half, *failed])]
            else:
                assert at(ax, r, c)[0] == number
            same(colour(ax, r, c), on_bar(figure, "RdBu_r", mean) if shown else to_rgb(style.MASKED))


def check_native_difference(figure, study):
    check_difference(figure, study)
    subtitle = " ".join(text.get_text() for text in figure.texts)
    assert ("nothing is masked" in subtitle) == (study.n_seeds == 1)


def best_place(study, mode, backends):
    """The cell with the best mean validation accuracy of those that finished."""
    rows = study.rows[(study.rows["mode"] == mode) & study.rows["backend"].isin(backends)]
    whole = rows.groupby(["learning_rate", "l2"])["status"].transform(lambda s: (s == "ok").all())
    means = rows[whole].groupby(["learning_rate", "l2"])["validation_accuracy"].mean()
    return dict(zip(("learning_rate", "l2"), means.idxmax(), strict=True))


def check_curves(figure, study):
    where = best_place(study, "controlled", study.backends)
    columns = ["train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]
    for ax, column in zip(figure.axes, columns, strict=True):
        for line, backend in zip(ax.lines, study.backends, strict=True):
            ids = [row["trial_id"] for row in trials(study, mode="controlled", backend=backend, **where)]
            table = study.curves[study.curves["trial_id"].isin(ids)].pivot(
                index="epoch", columns="trial_id", values=column
            )
            assert list(line.get_xdata()) == list(table.index)
            assert list(line.get_ydata()) == pytest.approx(list(table.mean(axis=1)))
            assert line.get_color() == colours()[backend]
        ((low, high),) = [edges(band) for band in ax.collections if isinstance(band, PolyCollection)]  # one for all
        deviation = table.std(axis=1)
        assert low == pytest.approx(list(table.mean(axis=1) - deviation))
        assert high == pytest.approx(list(table.mean(axis=1) + deviation))


def edges(band):
    """The lower and the upper end of a band at every place."""
    points = pd.DataFrame(band.get_paths()[0].vertices, columns=["x", "y"]).groupby("x")["y"].agg(["min", "max"])
    return list(points["min"]), list(points["max"])


def check_cases(figure, study):
    (ax,) = figure.axes
    for line, case in zip(ax.lines, study.axes["case"], strict=True):
        ids = [row["trial_id"] for row in trials(study, mode="controlled", backend="numpy", case=case)]
        means = study.curves[study.curves["trial_id"].isin(ids)].groupby("epoch")["train_loss"].mean()
        assert (line.get_label(), list(line.get_ydata())) == (case, pytest.approx(list(means)))


def check_scatter(figure, study):
    (ax,) = [ax for ax in figure.axes if dots(ax, "trial")]
    marks = [mark for mark in ax.collections if mark.get_label() == "trial"]
    for mark, row in zip(marks, trials(study, mode="controlled"), strict=True):
        assert tuple(mark.get_offsets()[0]) == pytest.approx((row["learning_rate"], row["l2"]))
        same(mark.get_facecolor()[0][:3], on_bar(figure, "viridis", row["test_accuracy"]))


def check_deviation_scatter(figure, study):
    (ax,) = [ax for ax in figure.axes if dots(ax, "trial")]
    marks = [mark for mark in ax.collections if mark.get_label() == "trial"]
    low, high = bar(figure).get_ylim()
    for mark, row in zip(marks, trials(study, mode="controlled"), strict=True):
        place = (math.log10(row["deviation"]) - low) / (high - low)
        same(mark.get_facecolor()[0][:3], matplotlib.colormaps["Blues"](0.02 + 0.73 * place)[:3])


def check_published(figure, study):
    for ax, name in zip(panels(figure)[3:], ["published", *study.backends], strict=True):
        for r, c, where in cells(ax, study):
            (printed,) = study.published[(study.published[list(where)] == list(where.values())).all(axis=1)][
                "test_accuracy"
            ]
            if name == "published":
                assert at(ax, r, c) == ["illegible" if math.isnan(printed) else f"{printed:.3f}"]
                continue
            mean = np.mean(finished(study, "test_accuracy", mode="controlled", backend=name, **where))
            assert at(ax, r, c) == [f"{mean:.3f}", *(["✓"] if abs(mean - printed) < 1e-9 else [])]
            same(colour(ax, r, c), on_bar(figure, "viridis", mean))


EPOCHS = np.array([1, 2, 4, 8])


def with_parity(study, moved=None):
    """The study with deviations over the epochs; `moved` is the trial that is further away."""
    order = list(study.rows["trial_id"])

    def artefacts(kind, trial_ids):
        assert kind == "parity"
        return {
            name: {
                "epoch": EPOCHS,
                "deviation": 1e-15 * EPOCHS * (2 + order.index(name) % 5) * (10 if name == moved else 1),
                "floor": 1e-15 * np.sqrt(EPOCHS),
            }
            for name in trial_ids
        }

    return replace(study, artefacts=artefacts)


def check_parity(figure, study):
    (ax,) = figure.axes
    lines = {line.get_label().split(":")[0]: line for line in ax.lines}
    where = best_place(study, "controlled", study.backends)
    for backend in study.backends:
        ids = [row["trial_id"] for row in trials(study, mode="controlled", backend=backend, **where)]
        worst = np.max([arrays["deviation"] for arrays in study.artefacts("parity", ids).values()], axis=0)
        assert list(lines[backend].get_xdata()) == list(EPOCHS)
        assert 10 ** lines[backend].get_ydata() == exactly(worst)
        assert lines[backend].get_label() == f"{backend}: {style.deviation(worst[-1])}"
        assert lines[backend].get_color() == colours()[backend]
    assert 10 ** lines["floor"].get_ydata() == exactly(1e-15 * np.sqrt(EPOCHS))


def raised(column, factor=1.25, **where):
    """A change of one finished trial of a study."""

    def change(study):
        rows = study.rows.copy()
        there = rows["status"] == "ok"
        for name, value in where.items():
            there &= rows[name] == value
        first = rows.index[there][0]
        rows.loc[first, column] *= factor
        return replace(study, rows=rows)

    return change


def raised_curves(column):
    return lambda study: replace(study, curves=study.curves.assign(**{column: study.curves[column] * 1.1}))


def moved_parity(study):
    where = best_place(study, "controlled", study.backends)
    return with_parity(study, moved=trials(study, mode="controlled", backend="torch", **where)[0]["trial_id"])


def random_search():
    return search(backends=("numpy",), n=6, modes=("controlled",))


def published():
    return published_study(lambda row, position: row.update(train_accuracy=0.5 + position[0] / 4))


def three_cases():
    study = saturated(backends=("numpy",), names=("a", "b", "c"), seeds=2)
    factor = study.curves["trial_id"].map({name: i + 1.0 for i, name in enumerate(study.rows["trial_id"])})
    return replace(study, curves=study.curves.assign(train_loss=study.curves["train_loss"] * factor))


def seeded_curves():
    """A study whose curves differ from seed to seed."""
    study = comparison()
    factor = study.curves["trial_id"].map(dict(zip(study.rows["trial_id"], 1 + study.rows["seed"] / 10, strict=True)))
    columns = [name for name in study.curves if name.startswith(SPLITS)]
    return replace(study, curves=study.curves.assign(**{name: study.curves[name] * factor for name in columns}))


@dataclass(frozen=True)
class Claim:
    """A study, its figure, what is claimed of them, and a change of the study that the claim must notice."""

    study: Any
    draw: Any
    check: Any
    change: Any


def metric(column, mode):
    return Claim(
        comparison,
        lambda study: figures.metric_heatmaps(study, mode, column),
        lambda figure, study: check_metric(figure, study, column, (mode,)),
        raised(column, mode=mode),
    )


CLAIMS = {
    "metric_heatmaps of an accuracy": metric("test_accuracy", "controlled"),
    "metric_heatmaps of a loss": metric("test_loss", "native"),
    "metric_heatmaps of a time": metric("train_seconds", "native"),
    "score_heatmaps of one seed": Claim(
        lambda: comparison(seeds=1),
        lambda study: figures.score_heatmaps(study, "native", "test"),
        lambda figure, study: check_metric(figure, study, "test_accuracy", ("native",)),
        raised("test_accuracy", mode="native"),
    ),
    "overview": Claim(
        comparison,
        lambda study: figures.overview(study, "accuracy"),
        lambda figure, study: check_metric(figure, study, modes=MODES),
        raised("test_accuracy", mode="native"),
    ),
    "deviation_heatmaps": Claim(
        comparison, figures.deviation_heatmaps, check_deviation, raised("deviation", 1e3, mode="controlled")
    ),
    "difference_heatmaps": Claim(
        comparison,
        lambda study: figures.difference_heatmaps(study, "native", [("sklearn", "numpy"), ("torch", "numpy")]),
        check_difference,
        raised("test_accuracy", mode="native", backend="torch"),
    ),
    "native_difference_heatmaps": Claim(
        comparison, figures.native_difference_heatmaps, check_native_difference, raised("test_accuracy", mode="native")
    ),
    "native_difference_heatmaps of one seed": Claim(
        lambda: comparison(seeds=1),
        figures.native_difference_heatmaps,
        check_native_difference,
        raised("test_accuracy", mode="native", backend="sklearn"),
    ),
    "learning_curves": Claim(seeded_curves, figures.learning_curves, check_curves, raised_curves("validation_loss")),
    "case_curves": Claim(
        three_cases, lambda study: figures.case_curves(study, "r2"), check_cases, raised_curves("train_loss")
    ),
    "parity_over_epochs": Claim(
        lambda: with_parity(comparison()), figures.parity_over_epochs, check_parity, moved_parity
    ),
    "published_heatmaps": Claim(
        published, figures.published_heatmaps, check_published, raised("test_accuracy", mode="controlled")
    ),
    "score_scatter": Claim(
        random_search,
        lambda study: figures.score_scatter(study, ["controlled"], "accuracy"),
        check_scatter,
        raised("test_accuracy", 0.5),
    ),
    "deviation_scatter": Claim(
        random_search, figures.deviation_scatter, check_deviation_scatter, raised("deviation", 1e6)
    ),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_the_texts_and_colours_are_those_of_the_rows(name):
    claim = CLAIMS[name]
    study = claim.study()
    claim.check(claim.draw(study), study)
    changed = claim.change(study)
    claim.check(claim.draw(changed), changed)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_value_that_is_changed_in_the_rows_is_noticed(name):
    claim = CLAIMS[name]
    study = claim.study()
    with pytest.raises(AssertionError):
        claim.check(claim.draw(study), claim.change(study))


def test_a_published_number_that_is_changed_is_noticed():
    study = published()
    other = replace(study, published=study.published.assign(test_accuracy=study.published["test_accuracy"] * 0.9))
    with pytest.raises(AssertionError):
        check_published(figures.published_heatmaps(study), other)


def written(figure: Figure) -> list[str]:
    """All texts of a figure."""
    return [text.get_text() for text in figure.texts] + [t.get_text() for ax in figure.axes for t in ax.texts]


def test_heatmaps_look_as_they_did():
    assert_same_picture(figures.score_heatmaps(comparison(), "controlled", "test"), "score_heatmaps")


def test_difference_maps_look_as_they_did():
    assert_same_picture(figures.native_difference_heatmaps(comparison(seeds=5)), "difference_heatmaps")


def test_any_axis_can_run_down_or_across_and_the_others_make_small_multiples():
    axes = {"hidden": [[5], [10, 5]], "learning_rate": RATES, "l2": PENALTIES}

    def edit(row, position):
        row["test_accuracy"] = 0.1 + 0.3 * position[0] + 0.1 * position[1] + 0.05 * position[2]

    study = comparison(seeds=1, backends=("numpy",), modes=("controlled",), axes=axes, edit=edit)
    figure = figures.metric_heatmaps(study, "controlled", rows="hidden", columns="learning_rate")
    first, second = panels(figure)
    assert (first.get_ylabel(), first.get_xlabel()) == ("hidden", "learning_rate")
    assert [label.get_text() for label in first.get_yticklabels()] == ["[5]", "[10, 5]"]
    assert (at(first, 1, 2), at(second, 1, 2)) == (["0.600"], ["0.650"])
    assert {"l2 = 1e-5", "l2 = 1e-3"} <= set(written(figure))
    turned = panels(figures.metric_heatmaps(study, "controlled", columns="learning_rate"))
    assert [(ax.get_ylabel(), ax.get_xlabel()) for ax in turned][:1] == [("hidden", "learning_rate")]


def test_an_axis_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match="there is no axis 'momentum': the axes are learning_rate, l2"):
        figures.metric_heatmaps(comparison(seeds=1), "controlled", rows="momentum")
    with pytest.raises(ValueError, match="'l2' cannot run down and across"):
        grid(["learning_rate", "l2"], "l2", "l2")
    found = grid(["learning_rate", "l2"], rows="l2")
    assert (found.row, found.column, found.others) == ("l2", "learning_rate", ())
    alone = grid(["l2"], columns="l2")
    assert (alone.row, alone.column) == (None, "l2")


def test_a_finished_trial_without_a_value_is_counted():
    def edit(row, position):
        row["test_auc"] = math.nan if row["seed"] < position[0] else 0.75

    (ax,) = panels(figures.metric_heatmaps(comparison(backends=("numpy",), edit=edit), "native", "test_auc"))
    assert [at(ax, row, 0)[-1] for row in (0, 1, 2)] == ["±0.000", "±0.000\n1/3\nno\nvalue", "2/3\nno\nvalue"]


def test_a_heatmap_without_a_value_has_no_colour_bar():
    def edit(row, position):
        row["test_auc"] = math.nan
        if position == (0, 0):
            row["status"] = "diverged"

    study = comparison(edit=edit)
    for figure in (
        figures.metric_heatmaps(study, "native", "test_auc"),
        figures.difference_heatmaps(study, "native", [("torch", "numpy")], "test_auc"),
    ):
        assert not [ax for ax in figure.axes if getattr(ax, "_colorbar", None)]
    assert bar(figures.metric_heatmaps(study, "native", "test_loss"))


def test_epochs_to_a_score_say_where_it_was_not_reached():
    study = comparison(backends=("numpy",), seeds=2, modes=("controlled",), edit=None)
    reached = study.rows.set_index("trial_id")["learning_rate"]
    curves = study.curves.assign(
        test_accuracy=np.where(study.curves["trial_id"].map(reached) * study.curves["epoch"] >= 0.1, 0.96, 0.5)
    )
    study = statistics.with_epochs_to(replace(study, curves=curves))
    figure = figures.metric_heatmaps(study, "controlled", "test_epochs_to_95")
    (ax,) = panels(figure)
    assert figure.texts[0].get_text() == "Test epochs to 95 %, mode controlled"
    assert [at(ax, row, 0) for row in (0, 1, 2)] == [["not\nreached"], ["1", "±0"], ["1", "±0"]]


def test_the_best_cell_is_outlined_in_every_metric_and_chaotic_ones_never():
    for column in ("test_accuracy", "validation_loss", "train_seconds"):
        for ax in panels(figures.metric_heatmaps(comparison(), "controlled", column)):
            assert set(outlined(ax)) == {(1, 1)}


def test_a_loss_of_an_outlier_does_not_take_the_colours_of_all_others():
    def edit(row, position):
        row.update({f"{split}_loss": 0.1 * (1 + position[0]) for split in SPLITS})
        if position == (2, 1) and row["backend"] == "numpy" and row["mode"] == "native":
            row["test_loss"] = 1e30

    figure = figures.metric_heatmaps(comparison(edit=edit, seeds=1), "native", "test_loss")
    assert bar(figure).get_ylim()[1] == pytest.approx(math.log10(0.3) + 2, abs=0.1)
    assert bar(figure).get_ylabel() == "test loss (outliers cut)"
    assert at(panels(figure)[0], 2, 1) == ["1e30"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-1.0, 0.0, [0.1, 0.2, 0.5, 1]), (-3.2, 1.5, [1e-3, 0.01, 0.1, 1, 10]), (-17, 0, [1e-16, 1e-12, 1e-8, 1e-4, 1])],
)
def test_a_logarithmic_scale_has_round_ticks(low, high, expected):
    assert [10**tick for tick in exponents(low, high)] == exactly(expected)


def test_pairs_of_any_two_backends_name_both():
    figure = figures.difference_heatmaps(comparison(), "native", [("torch", "sklearn"), ("sklearn", "numpy")])
    assert {"torch − sklearn", "sklearn − numpy"} <= set(written(figure))
    (other,) = panels(figures.difference_heatmaps(comparison(), "native", [("torch", "sklearn")]))
    turned = panels(figures.difference_heatmaps(comparison(), "native", [("sklearn", "torch")]))[0]
    assert at(other, 0, 0)[-2][1:] == at(turned, 0, 0)[-2][1:]
    assert {at(other, 0, 0)[-2][0], at(turned, 0, 0)[-2][0]} == {"+", "−"}


def test_what_the_seeds_show_is_counted_over_each_panel():
    study = comparison(seeds=5)
    figure = figures.native_difference_heatmaps(study)
    shown = [
        statistics.paired(study, "native", name, "numpy", "test_accuracy")["shown"] for name in ("sklearn", "torch")
    ]
    told = [f"{(s == 'a higher').sum()} higher, {(s == 'b higher').sum()} lower of 5" for s in shown]
    assert told[0].startswith("2 higher")
    assert set(told) <= set(written(figure))


def test_a_difference_in_a_single_shared_seed_is_masked_and_says_so():
    def edit(row, position):
        lively(row, position)
        if position == (0, 0) and row["backend"] == "torch" and row["seed"] > 0:
            row["status"] = "crashed"
        if position == (0, 1) and row["backend"] == "torch" and row["seed"] > 0:
            row["test_accuracy"] = math.nan

    figure = figures.native_difference_heatmaps(comparison(edit=edit))
    assert "1 seed in both: no estimate of its noise" in written(figure)
    assert "1 seed in both" not in " ".join(written(figures.native_difference_heatmaps(comparison())))
    ax = panels(figure)[1]
    assert at(ax, 0, 0)[-1] == "1\u00a0seed,\n2/3\ncrashed"
    assert at(ax, 0, 1)[-1] == "1\u00a0seed,\n2/3\nno\nvalue"
    for column in (0, 1):
        assert at(ax, 0, column)[0] == "≈"
        same(colour(ax, 0, column), to_rgb(style.MASKED))


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_caption_of_a_difference_map_explains_its_masked_tiles_where_there_are_any(seeds):
    found = {picture.name: picture.caption for picture in pictures.heatmaps(comparison(seeds=seeds))}
    assert ("≈: no difference shown by the seeds" in found["native-difference"]) == (seeds > 1)


def test_a_backend_that_is_not_installed_has_no_differences():
    def edit(row, position):
        if row["backend"] == "torch":
            row.update(status="not_installed", reason="pip install torch")

    figure = figures.difference_heatmaps(comparison(edit=edit), "native", [("torch", "numpy"), ("sklearn", "numpy")])
    assert len(panels(figure)) == 1
    assert any("torch is not" in text.replace("\n", " ") for text in written(figure))


def test_losses_have_their_own_scale_of_differences():
    def edit(row, position):
        row["test_loss"] = 0.7 + (0.013 * (position[0] + 1) if row["backend"] == "torch" else 0.0)

    figure = figures.difference_heatmaps(comparison(seeds=1, edit=edit), "native", [("torch", "numpy")], "test_loss")
    assert bar(figure).get_ylim() == pytest.approx((-0.05, 0.05))
    assert at(panels(figure)[0], 2, 0) == ["+0.039"]


def large(n=21, seeds=1, backends=("numpy", "sklearn", "torch")):
    """So many cells that none has room for a number; the corners are special."""

    def edit(row, position):
        row["test_accuracy"] = (position[0] * n + position[1]) / n**2
        if position == (0, 0):
            row.update(status="diverged")
        if position == (0, 1) and row["mode"] == "controlled":
            row.update(verdict="differs", deviation=1e-3)
        if position == (1, 0) and row["mode"] == "controlled":
            row.update(verdict="chaotic", deviation=0.3, floor=0.1)

    axes = {"learning_rate": np.geomspace(1e-5, 1, n).tolist(), "l2": np.geomspace(1e-6, 1, n).tolist()}
    return make(axes=axes, backends=backends, seeds=seeds, modes=("controlled",), edit=edit)


def strokes(ax):
    """Of the strokes of small tiles, the cells that have them, by mark."""
    found = {}
    for patch in ax.patches:
        if isinstance(patch, PathPatch):
            places = {(math.floor(y), math.floor(x)) for x, y in patch.get_path().vertices.reshape(-1, 2, 2).mean(1)}
            found[patch.get_label()] = found.get(patch.get_label(), set()) | places
    return found


def pixel(figure, ax, row, column):
    """The colour in the middle of a cell, as it comes out on paper."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    x, y = ax.transData.transform((column + 0.5, row + 0.5))
    return pixels[len(pixels) - 1 - int(y), int(x), :3] / 255


def test_a_large_grid_is_an_image_with_strokes_and_no_numbers():
    study = large()
    figure = figures.score_heatmaps(study, "controlled", "test")
    drawn = [ax for ax in figure.axes if ax.images]
    assert len(drawn) == 3
    low, high = bar(figure).get_ylim()
    for ax in drawn:
        assert len(ax.texts) == 0
        (image,) = ax.images
        assert image.get_array().shape == (21, 21, 3)
        value = study.rows["test_accuracy"].to_numpy()[: 21 * 21].reshape(21, 21)[7, 3]
        same(image.get_array()[7, 3], matplotlib.colormaps["viridis"]((value - low) / (high - low))[:3])
        same(image.get_array()[0, 0], to_rgb(style.NEUTRAL))
        same(pixel(figure, ax, 7, 3), image.get_array()[7, 3])
        assert strokes(ax) == {"failed": {(0, 0)}, "chaotic": {(1, 0)}}
    assert any("too many cells for numbers, which stand in the tables" in text for text in written(figure))
    deviations = [ax for ax in figures.deviation_heatmaps(study).axes if ax.images]
    assert strokes(deviations[0]) == {"failed": {(0, 0)}, "chaotic": {(1, 0)}, "differs": {(0, 1)}}
    same(deviations[0].images[0].get_array()[0, 1], to_rgb(style.ALARM))


def test_a_large_difference_map_marks_what_is_not_shown():
    study = large(seeds=2, backends=("numpy", "torch"))
    figure = figures.difference_heatmaps(study, "controlled", [("torch", "numpy")])
    (ax,) = [ax for ax in figure.axes if ax.images]
    assert (0, 0) not in strokes(ax)["masked"]
    assert len(strokes(ax)["masked"]) == 21 * 21 - 1
    same(ax.images[0].get_array()[5, 5], to_rgb(style.MASKED))


def test_the_labels_of_very_many_values_do_not_overlap():
    figure = figures.score_heatmaps(large(45, backends=("numpy",)), "controlled", "test")
    figure.canvas.draw()
    (ax,) = [ax for ax in figure.axes if ax.images]
    for labels, sides in ((ax.get_yticklabels(), ("y0", "y1")), (ax.get_xticklabels(), ("x0", "x1"))):
        boxes = sorted(tuple(getattr(label.get_window_extent(), side) for side in sides) for label in labels)
        assert len(boxes) > 10
        assert all(one[1] <= other[0] + 1 for one, other in itertools.pairwise(boxes))


def test_an_svg_of_2000_cells_and_5_backends_stays_below_a_megabyte():
    axes = {"learning_rate": np.geomspace(1e-5, 1, 50).tolist(), "l2": np.geomspace(1e-6, 1, 40).tolist()}

    def edit(row, position):
        if position[0] > 30:
            row.update(status="diverged")
        elif position[0] > 20:
            row.update(verdict="chaotic")

    study = make(axes=axes, backends=("numpy", "sklearn", "tensorflow", "keras", "torch"), modes=("native",), edit=edit)
    for figure in (figures.score_heatmaps(study, "native", "test"), figures.native_difference_heatmaps(study)):
        stream = io.BytesIO()
        figure.savefig(stream, format="svg")
        assert len(stream.getvalue()) < 1_000_000


def test_a_curve_ends_where_the_first_of_its_seeds_ends():
    study = seeded_curves()
    where = best_place(study, "controlled", study.backends)
    first = trials(study, mode="controlled", backend="numpy", **where)[0]["trial_id"]
    stopped = study.curves[~((study.curves["trial_id"] == first) & (study.curves["epoch"] == 2))]
    ax = figures.learning_curves(replace(study, curves=stopped)).axes[0]
    assert [list(line.get_xdata()) for line in ax.lines] == [[0, 1], [0, 1, 2], [0, 1, 2]]


def test_a_single_seed_has_no_band():
    figure = figures.learning_curves(comparison(seeds=1))
    assert not [c for ax in figure.axes for c in ax.collections if isinstance(c, PolyCollection)]
    assert "standard deviation" not in " ".join(written(figure))


def test_of_several_seeds_what_early_stopping_kept_is_told():
    study = seeded_curves()
    rows = study.rows.assign(patience=2, min_delta=0.0)
    losses = {(0, 0): 0.9, (0, 1): 0.5, (0, 2): 0.7, (1, 0): 0.9, (1, 1): 0.8, (1, 2): 0.6}
    seeds = study.curves["trial_id"].map(dict(zip(rows["trial_id"], rows["seed"] % 2, strict=True)))
    keys = zip(seeds, study.curves["epoch"], strict=True)
    study = replace(study, rows=rows, curves=study.curves.assign(validation_loss=[losses[k] for k in keys]))
    told = " ".join(" ".join(written(figures.learning_curves(study))).split())
    assert "early stopping kept epochs 1 to 2; lines end where the first seed ends" in told


def parity_study(**arrays):
    """One controlled trial a backend, and its stored parity: (deviation, floor) of each."""
    study = comparison(seeds=1, axes={}, edit=None, backends=tuple(arrays), modes=("controlled",))
    stored = dict(zip(study.rows["trial_id"], arrays.values(), strict=True))
    return replace(
        study,
        artefacts=lambda kind, ids: {
            name: {"epoch": EPOCHS, "deviation": np.array(stored[name][0]), "floor": np.array(stored[name][1])}
            for name in ids
            if stored[name]
        },
    )


def test_equality_and_divergence_have_a_height_and_what_was_not_measured_a_gap():
    floor = [1e-16, 2e-16, 4e-16, 1e-15]
    study = parity_study(
        numpy=([0.0, 3e-16, math.inf, math.inf], floor), torch=([1e-15, math.nan, 1e-15, 2e-15], floor)
    )
    (ax,) = figures.parity_over_epochs(study).axes
    lines = {line.get_label().split(":")[0]: line.get_ydata() for line in ax.lines}
    heights = {label.get_text(): tick for label, tick in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert lines["numpy"][0] == heights["0"] == min(heights.values())
    assert list(lines["numpy"][2:]) == [heights["∞"]] * 2
    assert heights["∞"] == max(heights.values())
    assert 10 ** lines["numpy"][1] == exactly(3e-16)
    assert np.isnan(lines["torch"]).tolist() == [False, True, False, False]
    assert list(lines["floor"]) == pytest.approx(np.log10(floor))
    assert {line.get_label() for line in ax.lines} >= {"numpy: ∞", "torch: 2.0e-15", "floor: 1.0e-15"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_dashed_line_is_the_deviation_up_to_which_a_trial_agrees(dtype):
    floor = [1e-16, 1e-13, 1e-8, 1e-5]
    study = parity_study(numpy=(floor, floor))
    study = replace(study, rows=study.rows.assign(dtype=dtype))
    (ax,) = figures.parity_over_epochs(study).axes
    (allowed,) = [line for line in ax.lines if line.get_label().startswith("agrees up to 100 floors")]
    assert 10 ** allowed.get_ydata() == exactly([parity.tolerance(value, dtype) for value in floor])
    assert parity_figure.LEAST[dtype] == parity.tolerance(None, dtype)


def test_parity_is_drawn_where_it_is_asked_for_and_nowhere_else():
    study = with_parity(comparison())
    asked = []
    spied = replace(study, artefacts=lambda kind, ids: asked.append(ids) or study.artefacts(kind, ids))
    figure = figures.parity_over_epochs(spied, (0, 1))
    rows = study.rows.set_index("trial_id").loc[list(asked[0])]
    assert set(zip(rows["learning_rate"], rows["l2"], rows["mode"], strict=True)) == {(0.01, 1e-3, "controlled")}
    assert "learning_rate 0.01, l2 1e-3" in " ".join(written(figure))
    assert figures.parity_over_epochs(comparison()) is None
    assert figures.parity_over_epochs(parity_study(numpy=None)) is None


def test_of_several_seeds_the_worst_deviation_is_the_line_and_the_band_goes_down_to_the_best():
    study = with_parity(comparison())
    (ax,) = figures.parity_over_epochs(study, (0, 0)).axes
    ids = [row["trial_id"] for row in trials(study, mode="controlled", backend="torch", learning_rate=0.01, l2=1e-5)]
    found = np.array([arrays["deviation"] for arrays in study.artefacts("parity", ids).values()])
    band = [c for c in ax.collections if isinstance(c, PolyCollection)][-1]
    low, high = edges(band)
    assert 10 ** np.array(low) == exactly(found.min(axis=0))
    assert 10 ** np.array(high) == exactly(found.max(axis=0))


def test_the_published_numbers_stand_beside_means_of_several_seeds():
    def edit(row, position):
        row["test_accuracy"] += 0.01 * (row["seed"] - 1)

    figure = figures.published_heatmaps(published_study(edit, seeds=3))
    published, numpy, _ = panels(figure)[3:]
    assert (at(published, 1, 0), at(numpy, 1, 0)) == (["0.750"], ["0.750", "±0.010\n✓"])
    assert any("mean ± standard deviation of 3 seeds" in text for text in written(figure))


def test_a_chaotic_cell_is_hatched_in_a_difference_map():
    ax = panels(figures.difference_heatmaps(comparison(), "controlled", [("torch", "numpy")]))[0]
    assert hatched(ax) == [(2, 0)]


def test_a_loss_too_large_for_its_square_has_a_spread_without_a_warning(recwarn):
    def edit(row, position):
        row["test_loss"] = 1e200 * (1 + row["seed"])

    (ax,) = panels(figures.metric_heatmaps(comparison(backends=("numpy",), edit=edit), "native", "test_loss"))
    assert at(ax, 0, 0) == ["2e200", "±∞"]
    assert not recwarn.list
