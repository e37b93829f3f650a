"""The datasets that ship, and a user's own tables: what they hold, and the one line that says what is wrong."""

import gzip
import hashlib
import struct
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest

from experiments.datasets import DATASETS, franke, runge
from experiments.letters import GAP, HALF_WIDTH, distance_to_strokes
from harness.data.tables import check_arrays, load_table
from harness.support.errors import RequestError

LOCAL = [name for name in DATASETS if name != "mnist"]
GENERATED = [name for name in DATASETS if "rows" in DATASETS[name].options]
NOISY = [name for name in DATASETS if "noise" in DATASETS[name].options]


def error_of(function, *args, **kwargs):
    """The message of the RequestError that the call raises: one line."""
    with pytest.raises(RequestError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- named datasets ----------------------------------------------------------------------------------------------

SHAPES = {
    "digits": (1797, 64, 10),
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "breast-cancer": (569, 30, 2),
    "diabetes": (442, 10, 1),
    "and": (4, 2, 2),
    "or": (4, 2, 2),
    "xor": (4, 2, 2),
    "polynomial": (400, 2, 1),
    "franke": (400, 2, 1),
    "runge": (200, 1, 1),
    "moons": (500, 2, 2),
    "circles": (500, 2, 2),
    "letters": (3000, 2, 2),
}


def test_every_dataset_but_mnist_has_its_shape_written_here():
    assert set(SHAPES) == set(LOCAL)


@pytest.mark.parametrize("name", LOCAL)
def test_a_dataset_has_its_shape_and_the_targets_of_its_task(name):
    X, y, names = DATASETS[name].load()
    assert (*X.shape, len(names)) == SHAPES[name]
    assert X.dtype == np.float64
    assert np.isfinite(X).all()
    if DATASETS[name].task == "regression":
        assert (y.shape, y.dtype) == ((len(X), 1), np.float64)
    else:
        assert (y.shape, y.dtype) == ((len(X),), np.int64)
        assert np.unique(y).tolist() == list(range(len(names)))
        assert (DATASETS[name].task == "binary") == (name not in ("digits", "iris", "wine"))


def test_the_inputs_of_diabetes_are_unscaled():
    X, y, _ = DATASETS["diabetes"].load()
    assert (X[0, 0], y[0, 0]) == (59, 151)


@pytest.mark.parametrize(("name", "outputs"), [("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1]), ("xor", [0, 1, 1, 0])])
def test_a_gate_is_its_truth_table(name, outputs):
    X, y, _ = DATASETS[name].load()
    assert X.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert y.tolist() == outputs


def test_least_squares_finds_the_coefficients_of_the_polynomial():
    X, z, _ = DATASETS["polynomial"].load()
    x, y = X.T
    design = np.column_stack([np.ones(len(x)), x, y, x**2, x * y, y**2])
    assert np.linalg.lstsq(design, z[:, 0])[0] == pytest.approx([0, 1, 2, 3, 4, 5], abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "value"),
    [
        # the four terms in the order of the paper, worked out by hand
        (2 / 9, 2 / 9, 0.75 + 0.75 * np.exp(-9 / 49 - 0.3) + 0.5 * np.exp(-6.5) - 0.2 * np.exp(-29)),
        (0.0, 0.0, 0.75 * np.exp(-2) + 0.75 * np.exp(-1 / 49 - 0.1) + 0.5 * np.exp(-14.5) - 0.2 * np.exp(-65)),
        (4 / 9, 7 / 9, 0.75 * np.exp(-7.25) + 0.75 * np.exp(-25 / 49 - 0.8) + 0.5 * np.exp(-6.25) - 0.2),
    ],
)
def test_franke_has_its_hills_and_its_dip(x, y, value):
    assert franke(np.array(x), np.array(y)) == pytest.approx(value, rel=1e-14)


def test_franke_at_the_origin_is_the_value_of_the_literature():
    assert float(franke(np.array(0.0), np.array(0.0))) == pytest.approx(0.76642, abs=5e-6)


def test_runge_is_1_in_the_middle_and_1_26th_at_the_ends():
    assert runge(np.array([-1.0, 0.0, 1.0])).tolist() == [1 / 26, 1, 1 / 26]


@pytest.mark.parametrize(
    ("name", "low", "function"), [("franke", 0, franke), ("runge", -1, runge)], ids=["franke", "runge"]
)
def test_a_surface_is_drawn_over_its_whole_range_and_without_noise_exact(name, low, function):
    X, z, _ = DATASETS[name].load()
    assert (X.min(), X.max()) == (pytest.approx(low, abs=0.03), pytest.approx(1, abs=0.03))
    assert np.array_equal(z[:, 0], function(*X.T))


@pytest.mark.parametrize("name", GENERATED)
def test_rows_are_as_many_as_asked_for(name):
    X, y, _ = DATASETS[name].load(rows=31)
    assert (len(X), len(y)) == (31, 31)


@pytest.mark.parametrize("name", ["polynomial", "franke", "runge"])
def test_points_do_not_depend_on_noise_and_noise_has_its_deviation(name):
    X, z, _ = DATASETS[name].load(rows=4000)
    noisy_X, noisy_z, _ = DATASETS[name].load(rows=4000, noise=0.5)
    assert np.array_equal(X, noisy_X)
    assert np.std(noisy_z - z) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(("name", "within"), [("moons", 1.0), ("circles", 1.0)])
def test_without_noise_the_first_class_lies_on_its_circle(name, within):
    X, y, _ = DATASETS[name].load(noise=0)
    assert np.hypot(*X[y == 0].T) == pytest.approx(within)
    noisy, labels, _ = DATASETS[name].load(noise=0.2)
    assert np.array_equal(y, labels)
    assert np.std(noisy - X) == pytest.approx(0.2, rel=0.1)


# sums of the inputs and of the targets: they may never change, or the same experiment is another one
GOLDEN = {
    "polynomial": (4.38189824918, 1100.48117555),
    "franke": (398.546421796, 166.82682369),
    "runge": (2.89784226931, 60.3763994715),
    "moons": (371.855996459, 250),
    "circles": (-3.14400354071, 250),
    "letters": (48.825501318, 1163),
}


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_set_is_the_same_for_ever(name):
    X, y, _ = DATASETS[name].load(**({"noise": 0.1} if name in NOISY else {}))
    assert (X.sum(), y.sum()) == pytest.approx(GOLDEN[name], rel=1e-9)


def test_letters_are_dots_on_thick_strokes_with_a_seam_around_them():
    X, y, names = DATASETS["letters"].load()
    distance = distance_to_strokes(X)
    assert names == ("background", "letter")
    assert (distance[y == 1] <= HALF_WIDTH).all()
    assert distance[y == 0].min() > HALF_WIDTH + GAP
    assert np.abs(X).max(axis=0) == pytest.approx([1, 0.6], abs=0.01)
    assert 0.3 < y.mean() < 0.45
    # the foot of the L, the corner of the V, the paper between them
    assert distance_to_strokes(np.array([[-0.4, -0.38], [0.47, -0.38], [0.0, 0.0]])) == pytest.approx(
        [0, 0, 0.315], abs=0.01
    )


def test_fewer_letters_are_the_first_of_more():
    few, many = (DATASETS["letters"].load(rows=rows)[0] for rows in (100, 3000))
    assert np.array_equal(few, many[:100])


@pytest.mark.parametrize("rows", [1, 0, -5, 2.5, True, "many", 10**9])
@pytest.mark.parametrize("name", GENERATED)
def test_a_wrong_number_of_rows_is_refused(name, rows):
    least = 10 if name == "letters" else 2
    message = f"dataset {name}: rows = {rows!r}: must be a whole number from {least} to 1000000"
    assert error_of(DATASETS[name].load, rows=rows) == message


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf"), "loud", True])
@pytest.mark.parametrize("name", NOISY)
def test_a_wrong_noise_is_refused(name, noise):
    assert error_of(DATASETS[name].load, noise=noise) == (
        f"dataset {name}: noise = {noise!r}: must be a number, 0 or more"
    )


# --- mnist -------------------------------------------------------------------------------------------------------

FILES = {
    "train-images-idx3-ubyte": struct.pack(">4I", 2051, 3, 2, 2) + bytes([*range(11), 255]),
    "train-labels-idx1-ubyte": struct.pack(">2I", 2049, 3) + bytes([5, 0, 9]),
    "t10k-images-idx3-ubyte": struct.pack(">4I", 2051, 1, 2, 2) + bytes([20, 21, 22, 23]),
    "t10k-labels-idx1-ubyte": struct.pack(">2I", 2049, 1) + bytes([7]),
}


@pytest.fixture
def idx(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_mnist_stacks_train_and_t10k_from_idx_files(idx):
    X, y, names = DATASETS["mnist"].load(folder=idx)
    assert X.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 255], [20, 21, 22, 23]]
    assert (X.dtype, y.dtype, y.tolist()) == (np.float64, np.int64, [5, 0, 9, 7])
    assert names == tuple("0123456789")


def test_mnist_reads_packed_files_too(idx):
    plain = DATASETS["mnist"].load(folder=idx)
    for name in list(FILES)[:3]:
        (idx / f"{name}.gz").write_bytes(gzip.compress(FILES[name], mtime=0))
        (idx / name).unlink()
    packed = DATASETS["mnist"].load(folder=str(idx))
    assert np.array_equal(plain[0], packed[0])
    assert np.array_equal(plain[1], packed[1])


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (IMAGES, FILES[LABELS], "{0}: not an IDX file of this kind: it begins with 2049, not 2051"),
        (
            IMAGES,
            FILES[IMAGES][3::-1] + FILES[IMAGES][4:],
            "{0}: not an IDX file of this kind: it begins with 50855936",
        ),
        (IMAGES, b"", "{0}: not an IDX file of this kind: it begins with fewer than 4 bytes, not 2051"),
        (IMAGES, FILES[IMAGES][:10], "{0}: ends within its header, after 10 bytes"),
        (IMAGES, FILES[IMAGES][:-1], "{0}: 11 bytes of data, where its header says (3, 2, 2)"),
        (IMAGES, struct.pack(">4I", 2051, 3, 1, 1) + bytes(3), "train images are (1, 1) pixels, t10k images (2, 2)"),
        (LABELS, struct.pack(">2I", 2049, 2) + bytes(2), "{0}: 2 labels for 3 images"),
        (LABELS, struct.pack(">2I", 2049, 3) + bytes([1, 10, 2]), "{0}: label 10, where 0 to 9 are allowed"),
        (IMAGES, None, "holds no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz"),
    ],
)
def test_a_wrong_idx_file_is_named_in_one_line(idx, name, data, message):
    (idx / name).unlink()
    if data is not None:
        (idx / name).write_bytes(data)
    found = error_of(DATASETS["mnist"].load, folder=idx)
    assert found.startswith(f"dataset mnist: {idx}")
    assert message.format(name) in found


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(FILES[IMAGES], mtime=0)[:-9], gzip.compress(bytes(9), mtime=0)[:12] + b"\xff" * 9],
)
def test_a_broken_gzip_file_is_named_in_one_line(idx, data):
    (idx / IMAGES).unlink()
    (idx / f"{IMAGES}.gz").write_bytes(data)
    found = error_of(DATASETS["mnist"].load, folder=idx)
    assert found.startswith(f"dataset mnist: {idx / IMAGES}.gz: ")
    assert "cannot be read: " in found or "not an IDX file" in found


def test_a_wrong_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for name, fault in (("nowhere", "no such folder"), ("file", "not a folder")):
        assert error_of(DATASETS["mnist"].load, folder=tmp_path / name) == (
            f"dataset mnist: folder {tmp_path / name}: {fault}"
        )


def test_without_a_folder_mnist_is_downloaded(monkeypatch):
    def fetch_openml(name, *, version, as_frame, return_X_y):
        assert (name, version, as_frame, return_X_y) == ("mnist_784", 1, False, True)
        return np.zeros((3, 784), np.int64), np.array(["5", "0", "9"], object)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    X, y, _ = DATASETS["mnist"].load()
    assert (X.shape, X.dtype, y.dtype, y.tolist()) == ((3, 784), np.float64, np.int64, [5, 0, 9])


def test_without_a_network_mnist_asks_for_its_folder(monkeypatch):
    def fetch_openml(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    assert error_of(DATASETS["mnist"].load) == (
        "dataset mnist: no download from openml.org (<urlopen error no route>); "
        "give the folder that holds its four IDX files"
    )


# --- a user's own tables -----------------------------------------------------------------------------------------


@pytest.fixture
def csv(tmp_path):
    """Writes a CSV file from its lines."""

    def write(*lines):
        path = tmp_path / "my.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        path = tmp_path / "my.npz"
        np.savez(path, **arrays)
        return path

    return write


def test_the_table_that_ships_has_eight_features_and_one_outcome():
    path = Path(sys.modules["experiments"].__file__).with_name("eight-features.csv")
    X, y, names, task, columns, _ = load_table(path, "outcome", None)
    assert X.shape == (240, 8)
    assert (task, names, columns) == ("binary", ("0", "1"), tuple(f"f{i}" for i in range(1, 9)))
    assert 0.3 < y.mean() < 0.5
    assert X.max(axis=0).max() > 500
    assert X.max(axis=0).min() < 2
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] == "bb6a75bab39e5b5d"


def test_a_csv_file_gives_inputs_labels_and_names(csv):
    path = csv("width, kind, flat", "1.5, pear, True", "2, apple, False", "3, pear, True")
    X, y, names, task, columns, _ = load_table(path, "kind", None)
    assert X.tolist() == [[1.5, 1], [2, 0], [3, 1]]
    assert y.tolist() == [1, 0, 1]
    assert (names, task, columns) == (("apple", "pear"), "binary", ("width", "flat"))
    assert (X.dtype, y.dtype) == (np.float64, np.int64)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("a,y\n1,0\n2,1\n", encoding="utf-8-sig")
    assert load_table(path, "a", "regression")[1].tolist() == [[1], [2]]


def test_an_npz_file_takes_its_inputs_from_x_or_from_the_only_other_array(npz):
    X, y = np.arange(6).reshape(3, 2), np.array(["b", "a", "b"])
    loaded = load_table(npz(X=X, weights=np.ones(3), kind=y), "kind", None)
    assert loaded[0].tolist() == X.tolist()
    assert (loaded[1].tolist(), loaded[2]) == ([1, 0, 1], ("a", "b"))
    assert load_table(npz(pixels=X, kind=y), ("kind",), None)[4] == ("pixels[0]", "pixels[1]")


def test_an_npz_file_can_hold_several_targets_in_one_array(npz):
    Y = np.array([[0.5, 1], [1, 2]])
    _, y, names, task, *_ = load_table(npz(X=np.eye(2), Y=Y), "Y", None)
    assert (y.tolist(), names, task) == (Y.tolist(), ("Y[0]", "Y[1]"), "regression")


def test_a_parquet_file_gives_the_same_as_its_frame(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1.5, 2, 3], "kind": pd.Categorical(["u", "v", "u"])}, index=[7, 8, 9])
    frame.to_parquet(tmp_path / "my.parquet")
    loaded = load_table(tmp_path / "my.parquet", "kind", None)
    assert (loaded[0].tolist(), loaded[1].tolist(), loaded[2:5]) == (
        [[1.5], [2], [3]],
        [0, 1, 0],
        (("u", "v"), "binary", ("a",)),
    )
    (tmp_path / "my.parquet").write_text("a,b")
    assert error_of(load_table, tmp_path / "my.parquet", "kind", None).startswith(
        f"{tmp_path / 'my.parquet'}: cannot be read as Parquet: "
    )


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    path = tmp_path / "my.parquet"
    path.touch()
    assert error_of(load_table, path, "y", None) == f"{path}: needs the package pyarrow; run: pip install pyarrow"


X3 = [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    ("y", "task", "names"),
    [
        (["b", "a", "b"], "binary", ("a", "b")),
        (["b", "a", "c"], "multiclass", ("a", "b", "c")),
        ([True, False, True], "binary", ("False", "True")),
        ([3, 7, 3], "binary", ("3", "7")),
        ([10, 9, 2], "multiclass", ("2", "9", "10")),
        (pd.Categorical(["v", "u", "v"], categories=["w", "v", "u"]), "binary", ("u", "v")),
        ([0.0, 1.0, 0.0], "regression", ("y",)),
        ([[0], [1], [0]], "binary", ("0", "1")),
        ([[0, 1], [1, 1], [0, 0]], "multilabel", ("y[0]", "y[1]")),
        ([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]], "multilabel", ("y[0]", "y[1]")),
        ([[0, 1], [1, 2], [0, 0]], "regression", ("y[0]", "y[1]")),
    ],
)
def test_the_task_is_read_off_the_targets(y, task, names):
    y = pd.Series(y) if isinstance(y, pd.Categorical) else y
    assert check_arrays(X3, y, None)[2:4] == (names, task)


@pytest.mark.parametrize(("distinct", "task"), [(20, "multiclass"), (21, "regression")])
def test_whole_numbers_are_classes_up_to_twenty_of_them(distinct, task):
    y = np.arange(60) % distinct
    assert check_arrays(np.ones((60, 1)), y, None)[3] == task


@pytest.mark.parametrize(
    ("y", "task", "expected"),
    [
        ([5, 3, 5], "regression", [[5], [3], [5]]),
        ([5, 3, 5], "multiclass", [1, 0, 1]),
        ([5.0, 3.0, 5.0], "binary", [1, 0, 1]),
        ([True, False, True], "regression", [[1], [0], [1]]),
        ([0, 1, 1], "multilabel", [[0], [1], [1]]),
        ([[0, 1], [1, 1], [0, 0]], "regression", [[0, 1], [1, 1], [0, 0]]),
    ],
)
def test_a_given_task_is_obeyed(y, task, expected):
    X, coded, _, found, *_ = check_arrays(X3, y, task)
    assert (found, coded.tolist()) == (task, expected)
    assert coded.dtype == (np.float64 if task == "regression" else np.int64)
    assert X.tolist() == X3


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        ([1, 2, 3], "binary", "y: target 'y' has 3 classes, '1', '2', '3'; 'binary' has 2"),
        ([1.5, 2, 3], "multiclass", "y: target 'y' holds fractions; classes are whole numbers or texts"),
        ([4, 4, 4], None, "y: target 'y' has a single class, '4'; at least 2 are needed"),
        (["u", "u", "u"], "binary", "y: target 'y' has a single class, 'u'; at least 2 are needed"),
        (["u", "v", "u"], "regression", "y: target column 'y': text, not numbers; task 'regression' needs numbers"),
        (
            [["u", "v"]] * 3,
            None,
            "y: target columns 'y[0]', 'y[1]': text, not numbers; task 'regression' needs numbers",
        ),
        ([[1, 2]] * 3, "multiclass", "y: task 'multiclass' has one target column, not 'y[0]', 'y[1]'"),
        ([[1, 2]] * 3, "multilabel", "y: target column 'y[1]': not all 0 or 1, as task 'multilabel' needs"),
        (
            [1, 2, 1],
            "binry",
            "y: unknown task 'binry': did you mean 'binary'? (allowed: multiclass, binary, multilabel, regression)",
        ),
        ([1, 2], None, "X: 3 rows of inputs, but 2 of targets; give one target a row"),
        ([1.0, np.nan, np.nan], None, "y: missing values in 2 rows, column 'y': fill them in, or drop them"),
        (["u", None, "v"], None, "y: missing values in 1 row, column 'y': fill them in, or drop them"),
        ([1.0, np.inf, 2], None, "y: infinite values in 1 row, column 'y': put numbers there, or drop them"),
        ([1.0, np.inf, 2], "binary", "y: infinite values in 1 row, column 'y': put numbers there, or drop them"),
        (
            np.array(["2020-01-01"] * 3, "datetime64[s]"),
            None,
            "y: target 'y' holds datetime64 values; classes are whole numbers or texts",
        ),
        (
            np.array([1, "a", 2], object),
            None,
            "y: target 'y' holds mixed-integer values; classes are whole numbers or texts",
        ),
        (np.ones((3, 0)), None, "y: no target columns; give one at least"),
        (np.ones((3, 2, 2)), None, "y: has the shape (3, 2, 2); needed: (n,) or (n, k)"),
    ],
)
def test_wrong_targets_are_refused_with_the_reason(y, task, message):
    assert error_of(check_arrays, X3, y, task) == message


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1, 2, 3], "X: has the shape (3,); needed: (n, n_inputs)"),
        (pd.Series([1, 2, 3]), "X: has the shape (3,); needed: (n, n_inputs)"),
        (np.ones((3, 0)), "X: no input columns; keep one beside the target"),
        ([[1, 2], [3], [4, 5]], "X: is no array: "),
        ([[1, np.nan], [3, 1], [4, np.inf]], "X: missing values in 1 row, column 'X[1]': fill them in, or drop them"),
        (
            [[1, -np.inf], [3, 1], [4, np.inf]],
            "X: infinite values in 2 rows, column 'X[1]': put numbers there, or drop them",
        ),
        (np.ones((3, 1), complex), "X: column 'X[0]': complex, not numbers; give numbers, or drop them"),
        (
            pd.DataFrame({"a": ["u", "v", "w"], "b": [1, 2, 3], "c": pd.Categorical([1, 2, 3])}),
            "X: columns 'a', 'c': categorical and text, not numbers; give numbers, or drop them",
        ),
        (
            pd.DataFrame(np.eye(3), columns=["a", "b", "a"]),
            "X: column 'a': the name stands there more than once; rename one",
        ),
    ],
)
def test_wrong_inputs_are_refused_with_the_reason(X, message):
    assert error_of(check_arrays, X, [0, 1, 0], None).startswith(message)


def test_one_row_is_not_enough():
    assert error_of(check_arrays, [[1, 2]], [0], None) == "X: 1 row; at least 2 are needed"


def test_frames_keep_their_names_whatever_their_index():
    X = pd.DataFrame({"a": [1, 2], "b": [True, False]}, index=[5, 6])
    loaded = check_arrays(X, pd.Series([0.5, 1.5], name="height", index=[1, 0]), None)
    assert (loaded[0].tolist(), loaded[1].tolist()) == ([[1, 1], [2, 0]], [[0.5], [1.5]])
    assert (loaded[2], loaded[4]) == (("height",), ("a", "b"))


def test_pandas_own_types_with_nothing_missing_are_numbers():
    X = pd.DataFrame({"a": pd.array([1, 2], "Int64"), "b": pd.array([True, False], "boolean")})
    assert check_arrays(X, pd.Series(pd.array([3, 4], "Int64")), None)[0].tolist() == [[1, 1], [2, 0]]
    X["a"] = pd.array([1, None], "Int64")
    assert error_of(check_arrays, X, [0, 1], None).startswith("X: missing values in 1 row, column 'a'")


def test_the_arrays_of_the_caller_are_not_shared():
    X = np.eye(3)
    check_arrays(X, [0, 1, 0], None)[0][:] = 7
    assert np.array_equal(X, np.eye(3))


@pytest.mark.parametrize(
    ("lines", "target", "message"),
    [
        (
            ["a,outcome", "1,0", "2,1"],
            "Outcom",
            "target 'Outcom': no such column: did you mean 'outcome'? (columns: 'a', 'outcome')",
        ),
        (
            [",".join(f"c{i}" for i in range(100, 112)), ",".join("1" * 12)],
            "zzz",
            "target 'zzz': no such column"
            " (columns: 'c100', 'c101', 'c102', 'c103', 'c104', 'c105', 'c106', 'c107', … (4 more))",
        ),
        (["a,y", "1,0", "2,1"], ("y", "y"), "target 'y' is listed twice; leave one out"),
        (["a,y", "1,0", "2,1"], (), "target: name at least one column"),
        (["y", "0", "1"], "y", "no input columns; keep one beside the target"),
        (["a,y", "1,0"], "y", "1 row; at least 2 are needed"),
        (["a,y"], "y", "0 rows; at least 2 are needed"),
        (["a,b,a,y", "1,2,3,0", "1,2,3,1"], "y", "column 'a': the name stands there more than once; rename one"),
        ([",a,y", "0,1,0", "1,2,1"], "y", "column 1 has no name (a row number? drop it; in pandas: index=False)"),
        (["a;y", "1;0", "2;1"], "y", "its one column is 'a;y': the values must be separated by commas"),
        (
            ["a,b,y", "1,,0", "1,2,1", "1,NA,1", ",2,1"],
            "y",
            "missing values in 3 rows, columns 'a', 'b': fill them in, or drop them",
        ),
        (["a,y", "1,0", "2,", "3,1"], "y", "missing values in 1 row, column 'y': fill them in, or drop them"),
        (["a,b,y", "1,u,0", "2,v,1"], "y", "column 'b': text, not numbers; give numbers, or drop them"),
        (["a,y", "1,0", "inf,1"], "y", "infinite values in 1 row, column 'a': put numbers there, or drop them"),
        (["a,y", "1,0", "2,0"], "y", "target 'y' has a single class, '0'; at least 2 are needed"),
        (["a,y", "1,0,9", "2,1,9"], "y", "its rows are longer than its header of 2 names; name every column"),
        (
            ["a,y", "1,0", "2,1,9"],
            "y",
            "cannot be read as CSV: Error tokenizing data. C error: Expected 2 fields in line 3, saw 3; "
            "save it as UTF-8, with commas",
        ),
        ([""], "y", "the file is empty; its first line names the columns"),
    ],
)
def test_a_wrong_csv_file_is_named_with_its_fault(csv, lines, target, message):
    path = csv(*lines)
    assert error_of(load_table, path, target, None) == f"{path}: {message}"


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "my.csv"
    path.write_bytes(b"a,y\n\xff\xfe,1\n")
    assert error_of(load_table, path, "y", None).startswith(f"{path}: cannot be read as CSV: 'utf-8' codec")


def test_a_file_that_is_not_there_or_of_another_kind_is_named(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name, fault in (
        ("my.csv", "no such file; give a file that is there"),
        ("folder.csv", "is not a file but a folder; give a file that is there"),
        ("my.xlsx", "unknown kind of file '.xlsx' (allowed: .csv, .parquet, .npz)"),
    ):
        assert error_of(load_table, tmp_path / name, "y", None) == f"{tmp_path / name}: {fault}"


ROWS = np.eye(2)


@pytest.mark.parametrize(
    ("arrays", "target", "message"),
    [
        (
            {"X": ROWS, "label": [0, 1]},
            "labels",
            ": target 'labels': no such array: did you mean 'label'? (arrays: 'X', 'label')",
        ),
        ({"y": [0, 1]}, "y", ": holds no array of inputs beside the target 'y'; name it 'X'"),
        ({"a": ROWS, "b": ROWS, "y": [0, 1]}, "y", ": which array holds the inputs? name it 'X' (found: 'a', 'b')"),
        ({"X": ROWS, "y": [0, 1]}, ("X", "y"), ": target: name one array, of shape (n,) or (n, k); 2 are named"),
        ({"X": np.ones(2), "y": [0, 1]}, "y", ": array 'X': has the shape (2,); needed: (n, n_inputs)"),
        ({"X": ROWS, "y": [0, 1, 1]}, "y", ": 2 rows of inputs, but 3 of targets; give one target a row"),
        (
            {"X": ROWS, "y": np.array([0, {}], object)},
            "y",
            ": cannot be read as NPZ: array 'y': an array of Python objects is never loaded; save numbers or texts",
        ),
    ],
)
def test_a_wrong_npz_file_is_named_with_its_fault(npz, arrays, target, message):
    path = npz(**arrays)
    assert error_of(load_table, path, target, None) == f"{path}{message}"


def test_a_broken_npz_file_is_named(tmp_path, npz):
    path = npz(X=ROWS, y=[0, 1])
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", ROWS)
    for data in (
        b"",
        b"no archive",
        whole[:-30],
        whole.replace(ROWS.tobytes(), bytes(32)),
        (tmp_path / "one.npy").read_bytes(),
    ):
        path.write_bytes(data)
        assert error_of(load_table, path, "y", None).startswith(f"{path}: cannot be read as NPZ: ")


def test_arrays_in_another_byte_order_are_read():
    X, y, names, *_ = check_arrays(np.array(X3, ">f8"), np.array([7, 5, 7], ">i2"), None)
    assert (X.tolist(), y.tolist(), names) == (X3, [1, 0, 1], ("5", "7"))


def test_dates_that_pandas_cannot_count_are_one_line():
    y = np.array(["292277026597", "1970", "1970"], "datetime64[Y]")
    assert error_of(check_arrays, X3, y, None).startswith("y: ")


@pytest.mark.parametrize(
    ("y", "column"),
    [
        ([0, 1, 0], False),
        ([[0], [1], [0]], True),
        (pd.Series([0, 1, 0]), False),
        (pd.DataFrame({"a": [0, 1, 0]}), True),
        (np.eye(3)[:, :2], False),
    ],
)
def test_a_single_target_that_came_as_a_column_is_known_as_one(y, column):
    assert check_arrays(X3, y, None)[5] is column


def test_names_that_come_twice_are_refused_before_the_table_is_parsed(tmp_path, monkeypatch):
    path, read = tmp_path / "twice.csv", pd.read_csv
    path.write_text("c,c,y\n1,2,0\n3,4,1\n")
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: read(*a, **k) if k.get("nrows") == 1 else pytest.fail("parsed"))
    with pytest.raises(RequestError, match="column 'c': the name stands there more than once"):
        load_table(path, "y", None)
