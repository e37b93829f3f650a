"""What notebooks show: the notebook of the docs, executed, and results as they display themselves."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from sklearn.datasets import load_iris

import harness
from harness.storage.results import Results
from harness.storage.store import Store
from tests import synthetic

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "notebook.ipynb"


def kinds(notebook):
    """What the outputs of each cell consist of."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[sorted(output.get("data", {output.output_type: ""})) for output in cell.outputs] for cell in cells]


def test_the_notebook_of_the_docs_runs_and_shows_what_is_stored_in_it(tmp_path):
    stored, notebook = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert kinds(notebook) == kinds(stored)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [data for output in outputs for data in output.get("data", {}).items()]
    assert any("Both backends agree in all 9 cells" in value for kind, value in shown if kind == "text/html")
    assert [kind for kind, _ in shown].count("image/png") == 1  # the heatmap, though nobody imports pyplot
    (said,) = [output.text for output in outputs if output.output_type == "stream"]
    assert 0 < float(said.split()[-1]) < 1e-12


def test_the_stored_notebook_is_small_and_without_errors_or_places():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert not re.search(r"Traceback|site-packages", text)
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    # pictures in base64 may hold anything; in what is read there is no absolute path
    read = [cell.source for cell in cells]
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        read += [
            output.get("text", ""),
            *(of for kind, of in output.get("data", {}).items() if kind.startswith("text/")),
        ]
    assert not [path for text in read for path in re.findall(r"(?<![\w<./:])/[a-z]+/\S*", text)]
    counts = [cell.execution_count for cell in cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


# --- a sweep -----------------------------------------------------------------------------------------------------


def test_a_sweep_takes_arrays_as_axes_and_a_single_name_as_a_list(store):
    X, y = load_iris(return_X_y=True)
    results = harness.sweep(
        X,
        y,
        title="Iris",
        learning_rate=np.logspace(-3, -1, 3),
        batch_size=np.array([10, 20]),
        epochs=np.int64(1),
        hidden=[(3,), (4, 2)],
        scale="standard",
        backends="numpy",
        modes="controlled",
        store=store,
        progress=False,
    )
    assert results.title == "Iris"
    assert results.axes == {"learning_rate": [0.001, 0.01, 0.1], "batch_size": [10, 20], "hidden": [[3], [4, 2]]}
    assert (results.frame()["status"] == "ok").all()


def test_a_width_in_place_of_a_list_of_widths_is_one_line(store):
    with pytest.raises(harness.RequestError, match=r"network\.hidden = 50: must be a list"):
        harness.sweep(np.eye(4), [0, 1, 0, 1], hidden=50, store=store)


def test_a_run_takes_a_single_backend(small_experiment, store):
    results = harness.run(small_experiment, backends="numpy", modes="controlled", store=store, progress=False)
    assert set(results.frame()["backend"]) == {"numpy"}


# --- results -----------------------------------------------------------------------------------------------------


def small(sweep, **rest):
    table = synthetic.grid(seeds=1, backends=("numpy", "torch"))
    del table["sweep"]
    table["training"] |= {} if "learning_rate" in {*sweep, *rest.get("search", ())} else {"learning_rate": 0.1}
    return table | {"sweep": sweep} | rest


KINDS = {
    "two axes": small({"learning_rate": [0.01, 0.1], "l2": [0.0, 0.001]}),
    "three axes": small({"learning_rate": [0.01, 0.1], "l2": [0.0, 0.001], "batch_size": [50, 100]}),
    "one axis": small({"learning_rate": [0.01, 0.1, 1.0]}),
    "no axis": small({}),
    "random search": small({}, search={"trials": 7, "learning_rate": {"loguniform": [1e-3, 1.0]}}),
}
KINDS["three axes"]["training"].pop("batch_size")


@pytest.fixture
def results_of(store):
    def results(table, fates=synthetic.all_well):
        return Results(Store(store), synthetic.write_store(store, table, fates))

    return results


def read(fragment):
    """The text, the table as a list of rows, and the pictures of a display; it has to be well-formed."""
    root = ElementTree.fromstring(fragment)
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    text = "".join("".join(part.itertext()) for part in root.iter("p"))
    pictures = [part for part in root.iter() if part.tag.rpartition("}")[2] in ("svg", "img")]
    return text, rows, pictures


def numbers_in(picture):
    return ["".join(text.itertext()) for text in picture.iter() if text.tag.endswith("text")]


@pytest.mark.parametrize("kind", KINDS)
def test_results_show_themselves_as_sentences_a_table_and_a_picture(kind, results_of):
    results = results_of(KINDS[kind])
    text, rows, (picture,) = read(results._repr_html_())
    frame = results.frame()
    counted = str(len(frame) // 2)
    assert "agree in" in text
    headings = rows[0]
    for name, row in zip(("numpy", "torch"), rows[1:], strict=True):
        shown = dict(zip(headings, row, strict=True))
        deviation = f"{frame.loc[frame['backend'] == name, 'deviation'].max():.1e}".replace("e-0", "e-")
        parity = {"agree": counted, "differ": "0", "chaotic": "0", "unchecked": "0", "largest deviation": deviation}
        assert shown == {"backend": name, "mode": "controlled", "planned": counted, "ok": counted} | parity
    if kind not in ("random search", "three axes"):
        assert {f"{score:.3f}" for score in frame["test_accuracy"]} <= set(numbers_in(picture))
    assert repr(results) == f"<Results of synthetic: {len(frame)} ok>"


def test_failed_and_pending_trials_are_counted_and_named(results_of):
    fates = [
        synthetic.Fate("crashed", "ValueError: planted"),
        synthetic.Fate("diverged", "not finite", floor=1e-15),
        None,
        synthetic.WELL,
    ]
    results = results_of(KINDS["two axes"], lambda trial: fates[trial.position])
    _, rows, (picture,) = read(results._repr_html_())
    shown = dict(zip(rows[0], rows[1], strict=True))
    assert [shown[status] for status in ("planned", "ok", "diverged", "crashed", "pending")] == [
        "4",
        "1",
        "1",
        "1",
        "1",
    ]
    assert {"crashed", "diverged", "pending"} <= set(numbers_in(picture))


def test_results_without_any_result_say_so(results_of):
    results = results_of(KINDS["one axis"], lambda trial: None)
    text, rows, (picture,) = read(results._repr_html_())
    assert "No controlled trial has finished." in text
    assert rows[0] == ["backend", "mode", "planned", "pending"]
    assert numbers_in(picture).count("pending") == 6


def test_hostile_names_stay_text(results_of):
    title = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    reason = "</p></div><script>alert(3)</script>"
    table = KINDS["one axis"] | {"title": title}
    fragment = results_of(table, lambda trial: synthetic.Fate("crashed", reason))._repr_html_()
    text, _, (picture,) = read(fragment)
    assert reason in text
    assert title in picture.get("aria-label")
    assert "<script" not in fragment
    assert "<img" not in fragment
    assert html.escape(reason) in fragment


def test_a_display_never_grows_to_megabytes(results_of):
    fragment = results_of(synthetic.grid(rates=20, penalties=20, seeds=1))._repr_html_()
    _, _, (picture,) = read(fragment)
    assert picture.tag == "img"
    assert picture.get("src").startswith("data:image/png;base64,")
    assert len(fragment) < 1_500_000


def test_a_heatmap_shows_itself_where_nobody_has_imported_pyplot(results_of):
    figure = results_of(KINDS["one axis"]).heatmap()
    data, size = figure._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert size["width"] == round(figure.get_size_inches()[0] * 96)
