"""Every number that stands on the page without scripts is one of the store, and none is left unchecked."""

import json
import re
import sqlite3
from contextlib import closing
from importlib.metadata import version
from itertools import permutations

import numpy as np
import pytest

from tests.figure_rules import AXES, BACKENDS, FIGURES, MODES, SEEDS, is_scale, left, of, place, table
from tests.reading import best_cell, paired, shows, stored
from tests.synthetic import lively, write_report

WORDS = {"timeout": "timed out", "not_installed": "not installed"}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Every kind of mishap."""
    return write_report(tmp_path_factory.mktemp("numbers"), table(), lively)


@pytest.fixture(scope="module")
def rows(report):
    return stored(report.parent / "store.db")


@pytest.fixture
def page(open_page, report):
    return open_page(report, scripts=False)


# -- tables: what every row should hold, by heading


def parity_row(rows, row):
    mine = of(rows, "controlled", row["backend"])
    statuses, verdicts = mine["status"].value_counts(), mine["verdict"].value_counts()
    judged = mine[mine["verdict"] != "chaotic"]
    learned = judged[(judged["status"] == "ok") & (judged["test_accuracy"] > judged["chance"] + 0.2)]
    return {
        "planned": len(mine),
        "ok": statuses.get("ok", 0),
        "diverged": statuses.get("diverged", 0),
        "failed": statuses.get("crashed", 0) + statuses.get("timeout", 0),
        "not run": statuses.get("pending", 0),
        "agree": verdicts.get("agrees", 0),
        "differ": verdicts.get("differs", 0),
        "chaotic": verdicts.get("chaotic", 0),
        "unchecked": verdicts.get("unchecked", 0),
        "learned": len(learned),
        "largest deviation": judged["deviation"].max(),
    }


def best_row(rows, row):
    best = best_cell(of(rows, row["mode"], row["backend"]))
    names = [f"{split} {name}" for split in ("train", "validation", "test") for name in ("accuracy", "loss", "f1")]
    means = {name.replace("f1", "F1"): best[name.replace(" ", "_")].mean() for name in names}
    first = best.iloc[0]
    return {
        "learning_rate": first["learning_rate"],
        "l2": first["l2"],
        "seeds": len(best),
        "test ROC AUC": best["test_auc"].mean(),
        **means,
    }


def status_row(rows, row):
    mine = of(rows, row["mode"], row["backend"])
    counts = {
        status: (mine["status"] == status).sum() for status in ("ok", "diverged", "timeout", "crashed", "pending")
    }
    return {"planned": len(mine), **counts, "stale": 0}


def time_row(rows, row):
    mine = of(rows, row["mode"], row["backend"])
    mine = mine[mine["status"] == "ok"]
    times = {"build": "build", "training": "train", "prediction": "predict"}
    medians = {f"median {name} time": mine[f"{column}_seconds"].median() for name, column in times.items()}
    return {"trials": len(mine), "largest stack": mine["stack_size"].max(), **medians}


def outside_row(rows, row):
    (trial,) = rows[rows["trial_id"].str.startswith(row["trial id"])].to_dict("records")
    assert trial["verdict"] == "differs" or trial["status"] in ("crashed", "timeout")
    assert row["reason"] == (trial["reason"] if isinstance(trial["reason"], str) else "–")
    return {name: trial[name] for name in ("learning_rate", "l2", "seed", "deviation", "floor")}


TABLES = {  # the first words of a caption: what stands in a row, and the columns of words
    "Mode controlled: what became": (parity_row, ["backend"]),
    "The best cell by mean": (best_row, ["backend", "mode"]),
    "Means over the seeds": (best_row, ["backend", "mode"]),
    "Every planned trial": (status_row, ["backend", "mode"]),
    "Medians over the trials": (time_row, ["backend", "mode"]),
    "Controlled trials that differ": (
        outside_row,
        ["backend", "mode", "status", "verdict", "trial id", "reason"],
    ),
}


def rows_of(shown):
    """A table's rows, each a text by heading."""
    lines = [[cell.inner_text() for cell in line.locator("th, td").all()] for line in shown.locator("tr").all()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def test_every_number_of_every_table_is_one_of_the_store(page, rows):
    captions = set()
    for shown in page.locator("table[aria-label]:not(.facts):visible").all():
        caption = next(start for start in TABLES if shown.get_attribute("aria-label").startswith(start))
        expected, words = TABLES[caption]
        for row in rows_of(shown):
            for heading, value in expected(rows, row).items():
                if heading in row:
                    digits = 4 if heading.endswith("loss") or heading in AXES else None
                    assert shows(row.pop(heading), value, digits), (caption, heading, value)
            assert set(row) <= set(words), f"{caption}: unchecked: {row}"
        captions.add(caption)
    assert captions == set(TABLES)


def test_the_table_of_failures_leaves_none_out(page, rows):
    listed = {row["trial id"] for row in rows_of(page.locator("table[aria-label^='Controlled trials that differ']"))}
    wanted = rows[(rows["verdict"] == "differs") | rows["status"].isin(["crashed", "timeout"])]
    assert listed == {trial_id[:12] for trial_id in wanted["trial_id"]}


def test_what_the_study_was_made_with_is_what_the_store_says(page, rows):
    with closing(sqlite3.connect(rows.attrs["database"])) as connection:
        facts = json.loads(connection.execute("SELECT facts FROM experiments").fetchone()[0])["shown"]
    shown = {
        line.locator("th").inner_text(): line.locator("td").inner_text() for line in page.locator(".facts tr").all()
    }
    versions = {
        name: version(package)
        for name, package in (("numpy", "numpy"), ("sklearn", "scikit-learn"), ("torch", "torch"))
    }
    others = {"seeds": str(SEEDS), "harness": version("backend-harness"), "numpy (the reference's)": versions["numpy"]}
    assert shown == {**versions, **facts, **others, "system": "a made-up machine"}


# -- sentences


def differ(rows, name, n, judged, deviation):
    mine = of(rows, "controlled", name)
    differs = mine[mine["verdict"] == "differs"]
    assert (int(n), int(judged)) == (len(differs), mine["verdict"].isin(["agrees", "differs"]).sum())
    assert shows(deviation, differs["deviation"].max())


def agree(rows, names, counts, both, deviation):
    mine = rows[(rows["mode"] == "controlled") & rows["backend"].isin(re.split(", | and ", names))]
    agreeing = mine[mine["verdict"] == "agrees"]
    assert dict(re.findall(r"(\d+) of (\w+)", counts)) == {
        str(n): name for name, n in agreeing["backend"].value_counts().items()
    }
    for _, of_backend in agreeing.groupby("backend"):
        assert int(both) == (of_backend["status"] == "diverged").sum()
    assert shows(deviation, agreeing["deviation"].max())


def chaotic(rows, n):
    for backend in BACKENDS:
        assert int(n) == (of(rows, "controlled", backend)["verdict"] == "chaotic").sum()


def unchecked(rows, n, backend):
    assert int(n) == (of(rows, "controlled", backend)["verdict"] == "unchecked").sum()


def gaps(rows):
    """By cell: how far the native means of two backends lie apart at most, and whose they are."""
    found = {}
    for position in range(9):
        for high, low in permutations(BACKENDS, 2):
            pair = (of(rows, "native", name, position) for name in (high, low))
            differences = paired(*pair, "test_accuracy")
            if len(differences):
                found[position] = max(found.get(position, (-1,)), (differences.mean(), high, low))
    return found


def native(rows, gap, rate, l2, high, low, n, median):
    found = gaps(rows)
    worst = max(found, key=lambda position: found[position][0])
    assert (place(worst), *found[worst][1:]) == ((rate, l2), high, low)
    assert shows(gap, found[worst][0])
    assert int(n) == len(found)
    assert shows(median, np.median([gap for gap, _, _ in found.values()]))


def best(rows, seeds, controlled, native):
    assert int(seeds) == SEEDS
    told = 0
    for mean, spread, names, where in re.findall(r"(\S+) ± (\S+) by ([\w, ]+) \((.*?)\)(?:,|$)", controlled):
        for name in re.split(", | and ", names):
            cell = best_cell(of(rows, "controlled", name))
            rate, l2 = place(cell["position"].iloc[0])
            assert where.startswith(f"learning_rate {rate}, l2 {l2}")
            for done, of_all in re.findall(r"finished (\d+) of (\d+) cells", where):
                complete = rows[(rows["mode"] == "controlled")].groupby(["backend", "position"])["status"]
                complete = complete.apply(lambda status: (status == "ok").all()).groupby("backend").sum()
                assert (int(done), int(of_all)) == (complete[name], complete.max())
            assert shows(mean, cell["test_accuracy"].mean())
            assert shows(spread, cell["test_accuracy"].std(ddof=1))
            told += 1
    for name, mean, spread in re.findall(r"(\w+) (\S+) ± (\S+?)(?:,|$)", native):
        cell = best_cell(of(rows, "native", name))
        assert shows(mean, cell["test_accuracy"].mean())
        assert shows(spread, cell["test_accuracy"].std(ddof=1))
        told += 1
    assert told == len(BACKENDS) * len(MODES)


def statuses(rows, planned, ok, failed):
    assert (int(planned), int(ok)) == (len(rows), (rows["status"] == "ok").sum())
    counts = rows["status"].value_counts().drop("ok")
    assert failed.split(", ") == [
        f"{counts[status]} {WORDS.get(status, status)}" for status in ("diverged", "timeout", "crashed", "pending")
    ]


def reason(rows, backend, n, why):
    mine = rows[(rows["backend"] == backend) & (rows["reason"] == why)]
    assert int(n) == mine["status"].isin(["crashed", "timeout"]).sum() > 0


def constant(rows, columns):
    assert columns == "0, 32, 39, 56"  # of the digits: what the plan itself found


NUMBER = r"(\S*\d)"
SENTENCES = {
    r"(\w+) differs from the reference in (\d+) of the (\d+) trials in which it can be judged, by up to "
    rf"{NUMBER}\.": differ,
    r"([\w, ]+) agree in all trials that were compared and are not chaotic \((.*?)\) \((\d+) of them diverged in both, "
    rf"backend and reference\); the largest deviation from the reference is {NUMBER}\.": agree,
    r"(\d+) trials a backend are chaotic: there rounding alone moves the reference, so no .*": chaotic,
    r"(\d+) controlled trial of (\w+) could not be compared with the reference\.": unchecked,
    rf"In native mode the same numbers give test accuracies up to {NUMBER} apart in one cell \(learning_rate (\S+), l2 "
    rf"(\S+)\): (\w+) is highest there, (\w+) lowest\. The median over (\d+) cells is {NUMBER}\.": native,
    r"Test accuracy of the best cell, chosen by validation accuracy, mean ± standard deviation of (\d) seeds: in mode "
    r"controlled (.*); (.*) in mode native \(3 backends\)\.": best,
    r"Of (\d+) planned trials, (\d+) finished; (.*)\.": statuses,
    r"(\w+), (\d+) trials: (.*)\.": reason,
    r"constant in the training rows: input columns (.*) of digits": constant,
}


def test_every_number_of_the_summary_is_one_of_the_store(page, rows):
    told = set()
    for sentence in page.get_by_role("region", name="Summary").locator("p").all_inner_texts():
        form, found = next(
            ((form, match) for form in SENTENCES if (match := re.fullmatch(form, sentence))), (None, None)
        )
        assert form, f"no rule for: {sentence}"
        SENTENCES[form](rows, *found.groups())
        told.add(form)
    assert told == set(SENTENCES)


# -- figures


def test_every_number_of_every_figure_is_one_of_the_store(page, rows):
    seen = set()
    for figure in page.locator("figure:visible").all():
        name = figure.get_attribute("id")
        assert name in FIGURES, f"no rule for the figure {name}"
        texts = [text.strip() for text in figure.locator("svg text").all_text_contents()]
        unknown, missing = left(texts, FIGURES[name](rows))
        assert not missing, f"{name} lacks {missing}"
        assert is_scale(unknown), f"{name}: unchecked: {unknown}"
        seen.add(name)
    assert seen == set(FIGURES)


def test_one_other_digit_in_a_figure_is_noticed(page, rows):
    figure = page.locator("figure#native-difference")
    texts = [text.strip() for text in figure.locator("svg text").all_text_contents()]
    expected = list(FIGURES["native-difference"](rows))
    changed = 0
    for i, text in enumerate(texts):
        for digit in re.finditer(r"\d", text):
            other = f"{text[: digit.start()]}{(int(digit[0]) + 1) % 10}{text[digit.end() :]}"
            unknown, missing = left([*texts[:i], other, *texts[i + 1 :]], expected)
            assert missing or not is_scale(unknown), (text, other)
            changed += 1
    assert changed > 100


# -- what is left


PROSE = (  # of the conventions, which no row holds
    "Agree: no further from the reference than 100 floors, or 1e-12 in float64, 1e-4 in float32. Learned: test "
    "accuracy more than 0.2 above chance, which is 0.1. A chaotic trial never counts as learned. The largest "
    "deviation is taken where the cell is not chaotic.",
    "At most 25 of them are kept.",
    "l2",
    "test F1",
)


def test_no_number_of_the_page_is_left_unchecked(page):
    """All that has a digit is in a table, in the summary or in a figure, which the tests above check; or is prose."""
    found = page.evaluate(
        """() => {
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            const checked = "table, figure svg, section[aria-label=Summary], script";
            const found = [];
            while (walker.nextNode()) {
                const { data, parentElement } = walker.currentNode;
                if (/[0-9]/.test(data) && !parentElement.closest(checked)) found.push(data);
            }
            return found;
        }"""
    )
    assert {" ".join(text.split()) for text in found} <= set(PROSE)
