"""What changed between two stores: every change is planted into a copy of a real one, and has to be told."""

import json
import re
import shutil
import sqlite3

import markupsafe
import pandas as pd
import pytest

import harness
from harness.cli import invoke
from reports import comparison, markdown, statistics, style, tables
from reports.written import Table
from tests.synthetic import as_stored

EXPERIMENT = """
name = "small"
title = "A small study"
[data]
name = "iris"
test_fraction = 0.2
validation_fraction = 0.2
scale = "standard"
[network]
hidden = [4]
[training]
batch_size = 32
epochs = 2
[sweep]
learning_rate = [0.01, 0.1]
l2 = [0.0, 0.01]
[run]
backends = ["numpy"]
modes = ["controlled", "native"]
seeds = 3
"""

WHERE = "trial_id IN (SELECT trial_id FROM planned WHERE mode = '{}' AND position = {} AND seed IN ({}))"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    (folder / "small.toml").write_text(EXPERIMENT)
    harness.run(folder / "small.toml", store=f"sqlite:///{folder}/old.db", progress=False)
    return folder / "old.db"


@pytest.fixture
def changed(old, tmp_path):
    """A copy of the old store in which some columns of some trials have been set."""

    def change(*edits):
        path = tmp_path / "new.db"
        shutil.copy(old, path)
        with sqlite3.connect(path) as connection:
            for assignments, mode, position, seeds in edits:
                done = connection.execute(
                    f"UPDATE trials SET {as_stored(assignments)} WHERE " + WHERE.format(mode, position, seeds)
                )
                assert done.rowcount > 0
        connection.close()
        return path

    return change


def studies(*paths):
    return [harness.Results(harness.storage.store.Store(f"sqlite:///{path}"), "small").study() for path in paths]


def compared(*paths):
    return comparison.compare(*studies(*paths))


def test_a_store_compared_with_itself_has_no_change(old):
    found = compared(old, old)
    assert set(found.pairs["change"]) == {"same"}
    assert found.moved.empty
    assert comparison.worse_trials(found).empty
    assert not comparison.worse(found)
    assert "No score moved, in 24 trials." in comparison.sentences(found)


@pytest.mark.parametrize(
    ("assignments", "mode", "change", "is_worse"),
    [
        ("status = 'crashed', reason = 'ValueError: no'", "native", "broken", True),
        ("status = 'diverged'", "controlled", "broken", True),
        ("verdict = 'differs', deviation = 0.1", "controlled", "differs", True),
        ("verdict = 'chaotic', test_accuracy = 0", "controlled", "chaotic", False),
        ("test_accuracy = test_accuracy - 0.1", "native", "moved", False),  # of one seed: no noise is known
        ("test_accuracy = NULL", "native", "broken", True),
        ("verdict = 'chaotic', status = 'crashed'", "controlled", "broken", True),
        ("verdict = 'unchecked', deviation = NULL", "controlled", "unchecked", False),
        ("status = 'not_installed'", "native", "absent", False),
    ],
)
def test_each_change_of_a_trial_is_named(old, changed, assignments, mode, change, is_worse):
    found = compared(old, changed((assignments, mode, 1, "0")))
    (other,) = found.pairs[found.pairs["change"] != "same"].to_dict("records")
    assert (other["change"], other["mode"], other["learning_rate"], other["l2"], other["seed"]) == (
        *(change, mode),
        *(0.01, 0.01, 0),
    )
    table = comparison.changes_table(found).set_index("mode")
    assert table.loc[mode, change] == 1
    assert table.loc[mode, "same"] == 11
    assert comparison.worse(found) == is_worse


def test_what_was_broken_and_works_again_is_mended(old, changed):
    found = compared(
        changed(("status = 'crashed'", "native", 0, "0, 1"), ("verdict = 'differs'", "controlled", 2, "0")), old
    )
    assert found.pairs["change"].value_counts().to_dict() == {"same": 21, "mended": 2, "agrees": 1}
    assert not comparison.worse(found)
    assert "2 trials failed before and now finished; 1 trial differed from the reference and now agrees." in (
        comparison.sentences(found)
    )


def test_a_failure_that_becomes_worse_is_told(old, changed, tmp_path):
    before = shutil.copy(
        changed(("status = 'diverged'", "native", 0, "0"), ("status = 'timeout'", "native", 1, "0")),
        tmp_path / "before.db",
    )
    after = changed(
        ("status = 'crashed', reason = 'segfault'", "native", 0, "0"), ("status = 'crashed'", "native", 1, "0")
    )
    found = compared(before, after)
    assert found.pairs["change"].value_counts().to_dict() == {"same": 22, "broken": 1, "failing": 1}
    told = comparison.sentences(found)
    assert "numpy, native: 1 trial diverged before and now crashed: segfault." in told
    assert "1 trial failed in both stores." in told
    assert "No score moved, in 22 trials." in told
    assert comparison.worse(found)
    assert not comparison.worse(compared(after, before))


def test_differences_are_new_minus_old(old, changed):
    found = compared(old, changed(("test_accuracy = test_accuracy - 0.25", "native", 0, "0")))
    (moved,) = found.pairs[found.pairs["change"] == "moved"].to_dict("records")
    assert moved["difference"] == pytest.approx(-0.25)
    assert comparison.changes_table(found)["largest_change"].tolist() == [0.0, pytest.approx(-0.25)]


def test_a_cell_is_lower_where_the_seeds_show_it(old, changed):
    new = changed(
        ("test_accuracy = test_accuracy - 0.2", "native", 3, "0"),
        ("test_accuracy = test_accuracy - 0.21", "native", 3, "1"),
        ("test_accuracy = test_accuracy - 0.19", "native", 3, "2"),
        ("test_accuracy = test_accuracy + 0.3", "native", 0, "0"),
        ("test_accuracy = test_accuracy - 0.1", "native", 0, "1"),
    )
    found = compared(old, new)
    moved = found.moved
    assert moved["shown"].tolist() == ["lower", "no difference shown"]
    first = moved.iloc[0]
    assert (first["learning_rate"], first["l2"], first["n"]) == (0.1, 0.01, 3)
    assert first["difference"] == pytest.approx(-0.2)
    again = statistics.paired(found.both, "native", "numpy, new", "numpy, old", "test_accuracy").iloc[3]
    assert (first["low"], first["high"]) == (again["low"], again["high"])
    assert comparison.worse(found)
    (told,) = [text for text in comparison.sentences(found) if "moved" in text]
    assert told == (
        "numpy, native: test accuracy moved in 2 of 4 cells, by up to −0.200 (learning_rate 0.1, l2 0.01); "
        "1 lower by more than the seeds' noise."
    )


def test_what_became_better_is_not_worse(old, changed):
    assert not comparison.worse(compared(old, changed(("test_accuracy = 1 + 0.01 * rowid", "native", 3, "0, 1, 2"))))


def test_versions_are_told_old_and_new(old, changed):
    new = changed(
        *(("backend_version = '9.9'", mode, k, "0, 1, 2") for mode in ("controlled", "native") for k in range(4))
    )
    found = compared(old, new)
    version = found.versions("numpy", "old")
    assert comparison.sentences(found)[0] == f"24 trials in both stores; numpy {version} → 9.9."
    assert found.both.backends == [f"numpy {version}", "numpy 9.9"]


def test_trials_that_only_one_store_has_are_counted(old, tmp_path):
    path = tmp_path / "wider.toml"
    path.write_text(EXPERIMENT.replace("[0.0, 0.01]", "[0.0, 0.02]"))
    harness.run(path, store=f"sqlite:///{tmp_path}/wider.db", progress=False)
    found = compared(old, tmp_path / "wider.db")
    assert len(found.pairs) == 12
    assert comparison.sentences(found)[-1] == (
        "12 trials only in the old store; 12 trials only in the new store: not compared."
    )


# -- the command


def test_the_command_writes_the_changes_and_says_whether_any_is_worse(old, changed, capsys):
    new = changed(("status = 'crashed', reason = 'ValueError: a | b'", "native", 2, "1"))
    assert invoke(["report", "--compare", str(old), str(new), "--format", "markdown"]) == 1
    text = capsys.readouterr().out
    assert "- numpy, native: 1 trial finished before and now crashed: ValueError: a &#124; b." in text
    assert invoke(["report", "--compare", str(old), f"sqlite:///{old}", "--format", "json"]) == 0
    pairs = json.loads(capsys.readouterr().out)
    assert len(pairs) == 24
    assert {pair["change"] for pair in pairs} == {"same"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--compare", "nowhere.db", "nowhere.db"], "there is no such file"),
        (["--format", "html", "-o", "x.html"], "give a folder with --out DIR"),
        (["--format", "csv", "--out", "x"], "or into -o FILE"),
        (["--format", "pdf"], "'html', 'markdown', 'csv', 'json', 'parquet'"),
    ],
)
def test_a_wrong_request_is_one_line(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_has_the_sentences_the_tables_and_a_map_of_what_moved(old, changed, tmp_path, capsys):
    new = changed(
        *((f"test_accuracy = test_accuracy - 0.2{seed}", "native", 3, str(seed)) for seed in range(3)),
        ("status = 'crashed', reason = '<script>no</script>'", "native", 2, "1"),
    )
    assert invoke(["report", "--compare", str(old), str(new), "--out", str(tmp_path / "page")]) == 1
    told = capsys.readouterr().out
    page = (tmp_path / "page" / "comparison.html").read_text()
    found = compared(old, new)
    for sentence in comparison.sentences(found):
        assert sentence in told
        assert str(markupsafe.escape(sentence)) in page
    assert "<script" not in page
    (low, high) = found.moved.iloc[0][["low", "high"]]
    assert f">{style.signed(low)}<" in page
    assert f">{style.signed(high)}<" in page
    assert re.search(r"<text[^>]*>−0\.210</text>", page)  # in the tile of the map
    assert len(pd.read_csv(tmp_path / "page" / "changes.csv")) == 24


# -- Markdown, CSV, JSON, Parquet


def cells(text):
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_every_number_of_the_markdown_grid_is_a_mean_of_stored_rows(old):
    (study,) = studies(old)
    text = markdown.study_report(study)
    grid = text.split("<summary>test accuracy, mode native, numpy</summary>")[1].split("</details>")[0]
    header, _, *lines = cells(grid)
    assert header == ["learning_rate", "l2 0", "l2 0.01"]
    rows = study.rows_of("native", "numpy").groupby(["learning_rate", "l2"])["test_accuracy"]
    expected = [f"{m:.3f} ± {s:.3f}" for m, s in zip(rows.mean(), rows.std(), strict=True)]
    assert [cell for line in lines for cell in line[1:]] == expected


def test_a_failure_is_a_word_in_the_markdown_grid(changed):
    (study,) = studies(
        changed(("status = 'crashed'", "native", 0, "0"), ("status = 'diverged'", "native", 1, "0, 1, 2"))
    )
    text = markdown.study_report(study)
    grid = cells(text.split("<summary>test accuracy, mode native, numpy</summary>")[1].split("</details>")[0])
    assert grid[2][1].endswith(", 1/3 crashed")
    assert grid[2][2] == "diverged"


def test_markdown_shows_names_as_they_are():
    text = markdown.table(Table(["a|b"], [["<script>x</script> @you\n`c` &lt; __d__"]], [False]))
    assert text.count("\n") == 2
    assert not re.search(r"[<>`@\n]|&lt;|__", text.splitlines()[2])
    assert "a&#124;b" in text


def test_the_table_of_cells_has_every_planned_trial_and_no_hidden_failure(changed):
    (study,) = studies(changed(("status = 'crashed', test_accuracy = NULL", "native", 0, "0")))
    found = tables.cells_table(study)
    assert found["planned"].sum() == len(study.rows)
    (row,) = found[found["crashed"] > 0].to_dict("records")
    assert (row["planned"], row["ok"], row["crashed"]) == (3, 2, 1)
    kept = study.rows_of("native", "numpy").query("learning_rate == 0.01 and l2 == 0 and status == 'ok'")
    assert row["test_accuracy"] == pytest.approx(kept["test_accuracy"].mean())
    assert row["test_accuracy_std"] == pytest.approx(kept["test_accuracy"].std())


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_the_same_table_in_every_format(old, format, tmp_path):
    path = tmp_path / f"cells.{format}"
    assert invoke(["report", "--store", f"sqlite:///{old}", "--format", format, "-o", str(path)]) == 0
    read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[format](path)
    (study,) = studies(old)
    pd.testing.assert_frame_equal(read, tables.cells_table(study), check_dtype=False)
