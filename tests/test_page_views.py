"""Every number that the page's script shows is one of the store: all heatmaps, all cards, the table of trials."""

import math
import re
import sqlite3
from contextlib import closing
from itertools import permutations

import numpy as np
import pytest

from harness.storage.results import Results
from harness.storage.store import Store
from tests.figure_rules import BACKENDS, MODES, SEEDS, of, place, table
from tests.reading import artefact, comparison, paired, shows, stored
from tests.synthetic import Fate, as_stored, grid, lively, write_report, write_store

SPLITS = ("train", "validation", "test")
SCORES = ("accuracy", "auc", "f1")
TIMES = ("train_seconds", "build_seconds", "predict_seconds")
COLUMNS = [
    *((name, split, f"{split}_{name}") for name in (*SCORES, "loss") for split in SPLITS),
    *((name, "", name) for name in (*TIMES, "epochs_run", "deviation")),
]
"""What can be looked at: metric, split, column of the store."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Every kind of mishap."""
    return write_report(tmp_path_factory.mktemp("views"), table(), lively)


@pytest.fixture(scope="module")
def rows(report):
    return stored(report.parent / "store.db")


@pytest.fixture
def page(open_page, report):
    return open_page(report)


def look(page, /, **choices):
    """Go to an address of the page; the texts of its cells, by backend and cell."""
    address = "#" + "&".join(f"{name}={value}" for name, value in choices.items())
    cells = page.evaluate(
        """(address) => {
            history.pushState(null, "", address);
            window.dispatchEvent(new PopStateEvent("popstate"));
            const text = (cell, part) => cell.querySelector(part)?.textContent ?? "";
            return [...document.querySelectorAll("#explore [role=gridcell]")]
                .filter((cell) => cell.offsetParent !== null)
                .map((cell) => [Number(cell.dataset.backend), Number(cell.dataset.cell),
                                text(cell, ".value"), text(cell, ".second"), text(cell, ".note")]);
        }""",
        address,
    )
    return {(BACKENDS[backend], cell): parts for backend, cell, *parts in cells}


def mark(cell):
    """What did not finish, as a cell says it."""
    counts = cell["status"].value_counts()
    words = [(str(status), n) for status, n in counts.items() if status != "ok"]
    if words and words[0][1] == len(cell):
        return words[0][0]
    return ", ".join(f"{n}/{len(cell)} {status}" for status, n in words)


def digits(name, text):
    """How many significant digits a tile shows: losses 3, but 2 beside an exponent; deviations 1."""
    return {"loss": 2 if "e" in text else 3, "deviation": 1, "epochs_run": 3}.get(name)


# -- heatmaps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "seed", ["mean", "0", *(pytest.param(str(n), marks=pytest.mark.suite) for n in range(1, SEEDS))]
)
def test_every_number_of_every_heatmap_is_one_of_the_store(page, rows, mode, seed):
    mine = rows if seed == "mean" else rows[rows["seed"] == int(seed)]
    for name, split, column in COLUMNS:
        if name == "deviation" and mode == "native":
            continue
        shown = look(page, metric=name, mode=mode, seed=seed, **({"split": split} if split else {}))
        assert len(shown) == 27
        for (backend, position), (value, second, note) in shown.items():
            where = (column, backend, position, value, second, note)
            cell = of(mine, mode, backend, position)
            values = cell[column].dropna() if name == "deviation" else cell.loc[cell["status"] == "ok", column]
            assert note == mark(cell), where
            if values.empty:
                assert value == second == "", where
                continue
            expected = values.max() if name == "deviation" else values.mean()
            assert shows(value, expected, digits(name, value)), where
            if seed == "mean" and name != "deviation" and len(values) > 1:
                assert shows(
                    second.removeprefix("±"), values.std(ddof=1), 2 if name in ("loss", "epochs_run") else None
                ), where
            else:
                assert second == "", where


@pytest.mark.parametrize("mode", MODES)
def test_every_difference_of_every_pair_is_one_of_the_store(page, rows, mode):
    for mine, theirs in permutations(BACKENDS, 2):
        numbers = {"mode": mode, "minus": BACKENDS.index(theirs), "backend": BACKENDS.index(mine)}
        for name, column in (("accuracy", "test_accuracy"), ("loss", "test_loss"), ("train_seconds", "train_seconds")):
            told = comparison(of(rows, mode, mine), of(rows, mode, theirs), column)
            for seed in ("mean", "1"):
                shown = look(page, metric=name, seed=seed, **numbers)
                assert len(shown) == 9
                for (_, position), (value, second, _) in shown.items():
                    where = (mine, theirs, column, position, value, second)
                    if seed == "1":
                        one = rows[rows["seed"] == 1]
                        pair = (of(one, mode, backend, position) for backend in (mine, theirs))
                        expected, half, p = np.array([*paired(*pair, column), math.nan])[0], math.nan, 0
                    elif position in told.index:
                        expected, half, p = told.loc[position, ["mean", "half", "p"]]
                    else:
                        expected, half, p = math.nan, math.nan, 0
                    if math.isnan(expected):
                        assert value == second == "", where
                        continue
                    noise = p >= 0.05
                    assert value.startswith("≈ ") == noise, where
                    significant = None if name != "loss" else 2
                    assert shows(value.removeprefix("≈ "), expected, significant), where
                    assert second == "" if math.isnan(half) else shows(second.removeprefix("±"), half, significant), (
                        where
                    )


def test_the_epochs_to_95_percent_are_those_of_the_full_curves(open_page, tmp_path, rows):
    """In a study that gets there, against the stored curves: none of their epochs is thinned away."""
    study = grid(3, 2, 1, backends=("numpy",), epochs=200)
    study["sweep"]["learning_rate"] = [0.05, 0.1, 0.2]
    study["sweep"]["l2"] = [1e-5, 1e-3]
    page = open_page(write_report(tmp_path, study))
    found = stored(tmp_path / "store.db")
    shown = look(page, metric="epochs_to_95", split="train")
    reached = 0
    for trial in found.to_dict("records"):
        curves = artefact(tmp_path / "store.db", "curves", trial["trial_id"])
        there = np.flatnonzero(curves["train_accuracy"] >= 0.95)
        value, _, note = shown["numpy", trial["position"]]
        assert (value, note) == ((str(int(curves["epoch"][there[0]])), "") if len(there) else ("", "not reached"))
        reached += len(there) > 0
    assert reached > 0


# -- what is missing


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    """A store with values and seeds missing, and with a status that nobody knows: its page.

    In mode native, at the first cell, numpy lacks the test accuracy of two seeds of three; its own difference in the
    one that is left is by far the largest. At the second cell torch lacks that of one.
    """
    folder = tmp_path_factory.mktemp("gaps")
    url = f"sqlite:///{folder / 'store.db'}"
    name = write_store(url, table())
    with closing(sqlite3.connect(folder / "store.db")) as connection:

        def edit(change, backend, position, seeds):
            trials = "SELECT trial_id FROM planned WHERE mode = 'native' AND backend = ? AND position = ?"
            trials += f" AND seed IN ({', '.join(map(str, seeds))})"
            connection.execute(
                f"UPDATE trials SET {as_stored(change)} WHERE trial_id IN ({trials})", (backend, position)
            )

        for position in range(9):  # the seeds show no difference but that of torch in the last cell
            for backend in BACKENDS:
                for seed in range(3):
                    edit(f"test_accuracy = {0.5 + 0.01 * seed}", backend, position, [seed])
        edit("test_accuracy = test_accuracy + 0.05", "torch", 8, range(3))
        edit("test_accuracy = 0.0", "numpy", 0, [0])
        edit("test_accuracy = NULL", "numpy", 0, [1, 2])
        edit("test_accuracy = NULL", "torch", 1, [0])
        edit("test_accuracy = NULL", "torch", 2, range(3))
        edit("status = 'weird'", "torch", 3, range(3))
        edit("status = 'weird'", "torch", 4, [0])
        connection.commit()
    with closing(Store(url, must_exist=True)) as store:
        return Results(store, name).report(folder)


def cell_of(page, backend, position):
    return page.locator(f"#stage [data-backend='{BACKENDS.index(backend)}'][data-cell='{position}']")


def test_a_finished_trial_without_a_value_is_counted_in_its_tile(open_page, gaps):
    page = open_page(gaps)
    shown = look(page, mode="native")
    assert [shown["torch", position][2] for position in range(3)] == ["", "1/3 no value", "no value"]
    assert shown["torch", 1][:2] == ["0.515", "±0.007"]
    assert "2 of 3 seeds, 1/3 no value" in cell_of(page, "torch", 1).get_attribute("aria-label")


def test_of_several_seeds_a_single_one_shows_no_difference(open_page, gaps):
    page = open_page(gaps)
    shown = look(page, mode="native", minus="0")
    assert shown["torch", 0] == ["≈ +0.500", "", "1 seed, numpy 2/3 no value"]
    made = cell_of(page, "torch", 0)
    assert "1 seed in both: no estimate of its noise" in made.get_attribute("aria-label")
    assert made.evaluate("cell => cell.style.getPropertyValue('--fill')") == ""
    assert cell_of(page, "torch", 8).evaluate("cell => cell.style.getPropertyValue('--fill')") != ""
    legend = page.locator("#stage .legend")
    assert legend.locator(".bar span").last.inner_text() == "+0.100"
    assert "1 seed in both: no estimate of its noise" in legend.inner_text()


def test_of_one_chosen_seed_every_difference_has_its_colour_and_the_legend_says_so(open_page, gaps):
    page = open_page(gaps)
    assert look(page, mode="native", minus="0", seed="0")["torch", 0] == ["+0.500", "", ""]
    assert cell_of(page, "torch", 0).evaluate("cell => cell.style.getPropertyValue('--fill')") != ""
    assert "one seed, so the noise is not known and nothing is masked" in page.locator("#stage .legend").inner_text()


def test_a_status_that_nobody_knows_is_shown_as_it_is(open_page, gaps):
    page = open_page(gaps)
    shown = look(page, mode="native", pins="2.3")
    assert (shown["torch", 3][2], shown["torch", 4][2]) == ("weird", "1/3 weird")
    assert page.locator("#cards tr[data-backend='2'] td").first.inner_text() == "weird"
    page.select_option("#trials-status", label="weird")
    assert page.locator("#trials-count").inner_text().startswith("4 of ")


def test_without_any_value_there_is_no_colour_bar(open_page, tmp_path):
    page = open_page(write_report(tmp_path, grid(2, 2, 1, backends=("numpy",)), lambda trial: Fate("diverged", "NaN")))
    shown = look(page, metric="accuracy", down="1")
    assert {note for _, _, note in shown.values()} == {"diverged"}
    assert page.locator("#stage .legend .swatch.failed").count() == 1
    assert page.locator("#stage .legend .bar").count() == 0


# -- cards

HEADINGS = {"test accuracy": "test_accuracy", "deviation": "deviation", "training time": "train_seconds"}


def card_numbers(card):
    """The numbers of a card: of its own backend by column of the store, and of all backends by heading."""
    own = card.evaluate(
        """(card) => Object.fromEntries([
            ...[...card.querySelectorAll("table.own tbody tr")].flatMap((row) =>
                ["train", "validation", "test"].map((split, i) =>
                    [`${split}_${row.dataset.metric}`, row.querySelectorAll("td")[i].textContent])),
            ...[...card.querySelectorAll(".lone .fact")].map((fact) =>
                [fact.dataset.metric, fact.querySelector("b").textContent]),
        ])"""
    )
    lines = [
        [cell.inner_text() for cell in line.locator("th, td").all()] for line in card.locator("table.others tr").all()
    ]
    return own, {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}


def tells(text, cell, column):
    """Whether a text of a card is the mean of a column, with its spread and how many of the trials it is from."""
    worst = column == "deviation"
    values = cell[column] if worst else cell.loc[cell["status"] == "ok", column]
    values = values.dropna()
    if values.empty:
        return text == "–"
    mean, spread, n, planned = re.fullmatch(r"(.+?)(?: ± (.+?))?(?: \((\d) of (\d)\))?", text).groups()
    fewer = (str(len(values)), str(len(cell))) if len(values) < len(cell) else (None, None)
    if worst:
        return shows(mean, values.max()) and spread is None
    significant = {"_loss": 4, "s_run": 3}.get(column[-5:])
    alone = len(values) == 1
    spread_right = spread is None if alone else shows(spread or "", values.std(ddof=1), significant and 2)
    return shows(mean, values.mean(), significant) and spread_right and (n, planned) == fewer


@pytest.mark.parametrize("mode", MODES)
def test_every_number_of_every_card_is_one_of_the_store(page, rows, mode):
    for position in range(9):
        for number, backend in enumerate(BACKENDS):
            look(page, mode=mode, pins=f"{number}.{position}")
            (card,) = page.locator("#cards article").all()
            rate, l2 = place(position)
            assert card.locator(".place").all_inner_texts() == [f"learning_rate {rate}", f"l2 {l2}"]
            own, others = card_numbers(card)
            for column, text in own.items():
                if not column.endswith("epochs_to_95"):  # which has a test of its own
                    cell = of(rows, mode, backend, position)
                    assert tells(text, cell, column), (position, backend, column, text)
            assert set(own) or not (of(rows, mode, backend, position)["status"] == "ok").any()
            assert set(others) == set(BACKENDS)
            for name, line in others.items():
                cell = of(rows, mode, name, position)
                assert line.pop("status").startswith(mark(cell) or "ok")
                assert line.pop("") == name
                for heading, text in line.items():
                    assert tells(text, cell, HEADINGS[heading]), (position, name, heading, text)
            reasons = card.locator(".reasons li").all_inner_texts()
            failed = rows[(rows["mode"] == mode) & (rows["position"] == position) & rows["reason"].notna()]
            assert len(reasons) == len(failed)
            for reason in set(failed["reason"]):
                assert sum(reason in text for text in reasons) == (failed["reason"] == reason).sum()


def test_the_curves_of_a_card_are_those_of_the_store(page, rows):
    """Thinned to 50 points at most; the first and the last are always there."""
    look(page, seed="0", pins="0.4")
    svg = page.locator("#cards figure.curve svg")
    path = svg.locator("path").last.get_attribute("d")  # the chosen backend is on top
    points = np.array([list(map(float, pair.split())) for pair in re.findall(r"[ML]([\d. ]+)", path)])
    trial = of(rows[rows["seed"] == 0], "controlled", "numpy", 4).iloc[0]
    curves = artefact(rows.attrs["database"], "curves", trial["trial_id"])
    assert 2 <= len(points) <= 50
    low, high = (float(text) for text in svg.locator("text").all_text_contents()[:2])
    wanted = curves["test_accuracy"]
    assert (shows(f"{low:g}", wanted.min(), 3), shows(f"{high:g}", wanted.max(), 3)) == (True, True)
    (left, bottom), (right, top) = points[0], points[-1]
    for x, y in points:
        epoch = (x - left) / (right - left) * curves["epoch"][-1]
        value = wanted[0] + (y - bottom) / (top - bottom) * (wanted[-1] - wanted[0])
        assert value == pytest.approx(wanted[round(epoch)], abs=0.005)


# -- trials


def test_every_number_of_the_table_of_trials_is_one_of_the_store(page, rows):
    known = rows.set_index(rows["trial_id"].str[:12])
    headings = page.eval_on_selector_all("#trials-head button", "all => all.map(e => e.dataset.sort)")
    checked = 0
    for number in range(1, math.ceil(len(rows) / 50) + 1):
        look(page, page=number)
        lines = page.eval_on_selector_all(
            "#trials-body tr",
            "all => all.map(row => [row.dataset.trial, ...[...row.cells].map(cell => cell.textContent)])",
        )
        for trial_id, *texts in lines:
            trial = known.loc[trial_id]
            rate, l2 = place(trial["position"])
            said = {"backend": trial["backend"], "mode": trial["mode"], "axis0": rate, "axis1": l2, "id": trial_id}
            said |= {"seed": str(trial["seed"]), "status": trial["status"]}
            said |= {name: trial[name] if isinstance(trial[name], str) else "–" for name in ("reason", "verdict")}
            for heading, text in zip(headings, texts, strict=True):
                if heading in said:
                    assert text == said[heading]
                elif not heading.endswith("epochs_to_95"):
                    significant = 4 if heading.endswith(("loss", "epochs_run")) else None
                    assert shows(
                        text, float(trial[heading] if trial[heading] is not None else math.nan), significant
                    ), heading
                checked += 1
    assert checked == len(rows) * len(headings)


# -- what is left


ELSEWHERE = {  # what the tests above do not read, by the element that holds it: and what may stand there
    "th": "1e-5|0.01|10|l2|F1|test F1|epochs to 95 %",
    "option": "l2|F1|epochs to 95 %|mean of 3|seed [012]",
    "legend": "[+−]0\\.100|< 0\\.05|p < 0\\.05.*",  # the scale: see test_the_scale_reaches_every_colour
    "curve": "epoch 30|0|[\\d.]+",  # see test_the_curves_of_a_card_are_those_of_the_store
    "told": ".*",  # see test_a_difference_is_told_with_its_interval
    "fact": ".*",  # the numbers without a split, which card_numbers reads
    "view": "Test accuracy, minus that of numpy, mode native, mean of 3 seeds",
    "axes": "l2",
    "trials-count": "54 of 162 trials; 1 to 50 are shown",
    "ran": ".*",  # the lines of code: those that each backend declares
}


def test_no_number_of_a_view_is_left_unchecked(page):
    """All that has a digit is in a part of the page that the tests above read, or in the list above."""
    look(page, mode="native", minus="0", pins="1.4+2.3", find="torch", sort="test_loss down")
    found = page.evaluate(
        """(elsewhere) => {
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            const checked = "[role=gridcell], #cards td, .place, .reasons, #trials-body";
            const kindOf = (element) => elsewhere.find((name) => element.matches(`${name}, .${name}, #${name}`));
            const found = [];
            while (walker.nextNode()) {
                const { data, parentElement } = walker.currentNode;
                if (!/[0-9]/.test(data) || !parentElement.closest("#explore, #trials")) continue;
                if (!parentElement.checkVisibility() || parentElement.closest(checked)) continue;
                let holder = parentElement;
                while (holder !== document.body && !kindOf(holder)) holder = holder.parentElement;
                found.push([kindOf(holder) ?? "", data]);
            }
            return found;
        }""",
        list(ELSEWHERE),
    )
    assert len(found) > 20
    assert [(holder, text) for holder, text in found if not re.fullmatch(ELSEWHERE.get(holder, ""), text.strip())] == []


def test_a_difference_is_told_with_its_interval(page, rows):
    for mode, a, b in (
        ("native", "torch", "numpy"),
        ("native", "numpy", "sklearn"),
        ("controlled", "torch", "sklearn"),
    ):
        told = comparison(of(rows, mode, a), of(rows, mode, b), "test_accuracy")
        for position in range(9):
            look(page, mode=mode, minus=BACKENDS.index(b), pins=f"{BACKENDS.index(a)}.{position}")
            text = page.locator("#cards .told").inner_text()
            if position not in told.index:
                assert not re.search(r"\d\.\d", text), text
                continue
            n, mean, half, p = told.loc[position]
            if n < 2:
                assert shows(re.match(r"(\S+): one seed in both: no estimate of its noise\.", text)[1], mean)
                continue
            found = re.fullmatch(
                rf"(\S+): (no|a) difference (?:is )?shown \(95 % interval (\S+) to (\S+), (\d) of {SEEDS} seeds, "
                r"p (\S+) \(Holm, over the cells\)\)\.",
                text,
            )
            value, shown, low, high, of_seeds, corrected = found.groups()
            assert shows(value, mean)
            assert (shown == "a", int(of_seeds)) == (p < 0.05, n)
            assert shows(low, mean - half)
            assert shows(high, mean + half)
            assert shows(corrected, p, 2)


def test_the_scale_reaches_every_colour(page, rows):
    """The ends of the colours are no number of the store, but hold all of those that are shown."""
    look(page, mode="native", minus="0")
    low, high = page.locator("#stage .legend .bar span:not(.ramp)").all_inner_texts()
    sizes = [
        comparison(of(rows, "native", name), of(rows, "native", "numpy"), "test_accuracy")["mean"].abs().max()
        for name in ("sklearn", "torch")
    ]
    assert low == high.replace("+", "−")
    assert float(high) >= max(sizes) - 0.1
