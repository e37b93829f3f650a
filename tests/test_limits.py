"""What a file asks for is counted before anything is built, from headers and axes; each limit can be raised."""

import gzip
import json
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from harness.experiment.file import load, parse
from harness.support.errors import RequestError
from harness.support.limits import LIMITS, limit, size
from tests.conftest import small_table
from tests.fuzz.data import archive, header, npy
from tests.fuzz.guard import MOST_MEMORY, load_all, run
from tests.test_cli import refused
from tests.test_datasets import error_of

Y = np.arange(30) % 2
PLAIN = """
name = "plain"
[data]
DATA
[network]
hidden = [4]
[training]
batch_size = 2
epochs = 1
learning_rate = 0.1
[run]
backends = ["numpy"]
"""


@pytest.fixture(scope="module", autouse=True)
def loaded():
    load_all()


@pytest.fixture
def plan(tmp_path):
    """Runs `harness run --dry-run` of a text in a process of its own: it must be refused, cheaply, in one line."""

    def refuse(text, *arguments):
        (tmp_path / "my.toml").write_text(text)
        ended = run(["run", "my.toml", "--dry-run", *arguments], tmp_path)
        assert ended.code == 2, ended.err[-2000:]
        assert ended.err.count("\n") == 1, ended.err[-2000:]
        assert ended.seconds < 20
        assert ended.memory < MOST_MEMORY
        return ended.err

    return refuse


def plain(data='name = "iris"', **changes):
    text = PLAIN.replace("DATA", data)
    for key, value in changes.items():
        text = text.replace(f"{key} = ", f"{key} = {value}\n# ")
    return text


# --- experiment files ------------------------------------------------------------------------------------------------

NINES = "9" * 400
WITHOUT_RATE = PLAIN.replace("DATA", 'name = "iris"').replace("learning_rate = 0.1\n", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (plain(hidden="[4]\nactivation = {}"), ["network.activation", "unknown activation {}"]),
        (plain() + "[sweep]\nactivation = [{ a = 1 }, { b = 2 }]", ["sweep.activation", "unknown activation {'a': 1}"]),
        (plain(hidden=f"[{NINES}]"), ["network.hidden.0", "over 300 digits"]),
        (plain(hidden=f"[0x{NINES * 12}]"), ["network.hidden.0", "over 300 digits"]),
        (plain(hidden=f"[{NINES * 12}]"), ["not a TOML file", "thousands of digits"]),
        (
            WITHOUT_RATE + f"[search]\ntrials = 3\nlearning_rate = {{ loguniform = [1, {NINES}] }}",
            ["search.learning_rate.loguniform.1", "over 300 digits"],
        ),
        (plain(hidden="[1000000000]"), ["8000000003 weights", "253 GiB", "HARNESS_MAX_MEMORY raises that"]),
        (plain(hidden=f"[{'4,' * 99_999}4]"), ["100000 hidden layers; at most 1000", "HARNESS_MAX_LAYERS raises"]),
        (plain() + "seeds = 500000", ["500000 trials planned", "HARNESS_MAX_TRIALS raises that"]),
        (
            WITHOUT_RATE + "[sweep]\nlearning_rate = { linspace = [1, 2, 1000] }\nl2 = { linspace = [1, 2, 1000] }",
            ["1000000 cells planned (1000 learning_rate x 1000 l2)", "HARNESS_MAX_TRIALS raises that"],
        ),
        (
            WITHOUT_RATE
            + "[search]\ntrials = 100000\nlearning_rate = { loguniform = [1e-3, 1] }\n[sweep]\nl2 = [0.0, 0.1]",
            ["200000 cells planned"],
        ),
        (plain() + "x = 1\n" * 200_000, ["my.toml: 1.14 MiB", "at most 1 MiB", "HARNESS_MAX_TEXT raises that"]),
        (plain() + "[" + "a." * 20_000 + "a]", ["more than 32 parts"]),
        (plain() + "x = {" + "a." * 20_000 + "a = 1}", ["more than 32 parts"]),
        (plain('name = "franke"\nrows = 1000000\ndegree = 20'), ["data.degree = 20", "HARNESS_MAX_MEMORY"]),
    ],
    ids=lambda value: None if isinstance(value, str) else value[0][:40],
)
def test_an_experiment_file_that_asks_for_too_much_is_refused_at_once(plan, text, told):
    found = plan(text)
    for part in told:
        assert part in found


@pytest.mark.suite
@pytest.mark.parametrize("how", ["point", "axis"])
def test_as_many_trials_as_the_limit_allows_are_planned_within_bounds(tmp_path, how):
    axis = "[search]\ntrials = 100000\nlearning_rate = { loguniform = [1e-3, 1] }\nepochs = { uniform = [1, 9] }"
    axis = axis if how == "point" else "[sweep]\nlearning_rate = { logspace = [-3, 1, 100000] }"
    text = WITHOUT_RATE.replace("epochs = 1\n", "") if how == "point" else WITHOUT_RATE
    (tmp_path / "my.toml").write_text(text + axis)
    ended = run(["run", "my.toml", "--dry-run"], tmp_path)
    assert ended.code == 0, ended.err[-2000:]
    assert ended.fault() is None


def test_a_limit_can_be_raised_and_a_wrong_one_is_told(monkeypatch):
    table = small_table()
    table["network"] = {"hidden": [1] * 1001}
    with pytest.raises(RequestError, match="HARNESS_MAX_LAYERS"):
        parse(table)
    monkeypatch.setenv("HARNESS_MAX_LAYERS", "1001")
    assert len(parse(table).network.hidden) == 1001
    for wrong in ("many", "0", "-1", "1GiB", "9" * 30):
        monkeypatch.setenv("HARNESS_MAX_LAYERS", wrong)
        with pytest.raises(RequestError, match=r"HARNESS_MAX_LAYERS = .* in the environment"):
            parse(table)


def test_bytes_are_given_with_or_without_a_unit(monkeypatch):
    for text, value in (("1000", 1000), ("2GiB", 2 << 30), ("1.5", None), ("3 kB", 3 << 10), ("7m", 7 << 20)):
        monkeypatch.setenv("HARNESS_MAX_MEMORY", text)
        if value is None:
            with pytest.raises(RequestError, match="such as 2GiB"):
                limit("HARNESS_MAX_MEMORY")
        else:
            assert limit("HARNESS_MAX_MEMORY") == value
    assert [size(count) for count in (5, 2048, 420 << 20, 3 << 30, 10**30)] == [
        *("5 bytes", "2 KiB", "420 MiB", "3 GiB", "over a million million TiB"),
    ]


def test_the_trials_of_a_request_are_counted_not_those_of_its_file(tmp_path, capsys):
    (tmp_path / "my.toml").write_text(plain() + "seeds = 500000")
    assert run(["run", "my.toml", "--dry-run", "--seeds", "2"], tmp_path).code == 0


def test_every_limit_stands_in_the_docs():
    with open("docs/experiment-file.md", encoding="utf-8") as file:  # noqa: PTH123
        text = file.read()
    for name in LIMITS:
        assert f"`{name}`" in text


# --- NPZ -------------------------------------------------------------------------------------------------------------


def with_X(member, **others):
    return archive({"X.npy": member, "y.npy": npy(Y), **others})


def described(shape="(30, 2)", dtype="'<f8'", data=480, version=1):
    return header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n", version) + bytes(data)


def patched(offset_local, offset_central, value):
    """The archive with a field of each member's headers changed."""
    data = bytearray(with_X(npy(np.zeros((30, 2)))))
    for mark, offset in ((b"PK\x03\x04", offset_local), (b"PK\x01\x02", offset_central)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset : at + offset + 2] = struct.pack("<H", value)
            at = data.find(mark, at + 4)
    return bytes(data)


def broken():
    data = bytearray(with_X(npy(np.random.default_rng(0).random((30, 2)))))
    data[60:200] = b"\xff" * 140
    return bytes(data)


WRONG_NPZ = {
    "a huge header": (with_X(described("(100000000000, 10)")), ["7.28 TiB", "HARNESS_MAX_MEMORY raises that"]),
    "a shape beyond counting": (with_X(described(f"({'9' * 50}, 10)")), ["beyond counting", "HARNESS_MAX_MEMORY"]),
    "columns without rows": (with_X(described("(0, 100000000000)")), ["HARNESS_MAX_MEMORY"]),
    "a negative length": (with_X(described("(-3, 2)")), ["(-3, 2)"]),
    "a void dtype": (with_X(described(dtype="'|V8'")), ["'X' holds records"]),
    "records": (with_X(described("(30,)", "[('a', '<f8'), ('b', '<i4')]")), ["'X' holds records"]),
    "a header that never ends": (with_X(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b" " * 99), ["header of"]),
    "a deep header": (with_X(described("(" + "-" * 3000 + "1, 2)")), ["header of array 'X' cannot be read"]),
    "an unknown method": (patched(8, 10, 99), ["'X' is packed by a method"]),
    "LZMA, whose dictionary may take 4 GiB": (patched(8, 10, 14), ["'X' is packed by a method"]),
    "an encrypted member": (patched(6, 8, 1), ["'X' is encrypted"]),
    "a broken member": (broken(), ["while decompressing"]),
    "no array": (with_X(b"nothing"), ["'X' is no array"]),
    "too short": (with_X(described(data=3)), ["EOF"]),
}


@pytest.mark.parametrize("wrong", WRONG_NPZ)
def test_a_wrong_npz_file_is_one_line_as_data_as_a_recording_and_as_a_start(plan, tmp_path, wrong):
    data, told = WRONG_NPZ[wrong]
    (tmp_path / "my.npz").write_bytes(data)
    lines = [
        plan(plain('path = "my.npz"\ntarget = "y"')),
        plan(plain(hidden='[4]\ninit = "my.npz"')),
        run(["trace", "my.npz", "my.npz"], tmp_path).err,
    ]
    for line in lines:
        assert line.count("\n") == 1
        for part in told:
            assert part in line


def bomb(path, mebibytes):
    """A member of so many MiB of zeros, in a thousandth of that."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("y.npy", npy(Y))
        with file.open("X.npy", "w", force_zip64=True) as member:
            member.write(described(f"({mebibytes << 17}, 1)", data=0))
            for _ in range(mebibytes):
                member.write(bytes(1 << 20))


def test_an_archive_of_half_a_gibibyte_in_half_a_mebibyte_is_not_unpacked(plan, tmp_path):
    bomb(tmp_path / "my.npz", 512)
    assert (tmp_path / "my.npz").stat().st_size < 4 << 20
    assert "takes 512 MiB, as float64" in plan(plain('path = "my.npz"\ntarget = "y"'))


def test_what_a_header_does_not_mention_is_not_unpacked(tmp_path):
    """An array of 30 rows, and behind it zeros without end."""
    with zipfile.ZipFile(tmp_path / "my.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("y.npy", npy(Y))
        with file.open("X.npy", "w", force_zip64=True) as member:
            member.write(described())
            for _ in range(300):
                member.write(bytes(1 << 20))
    (tmp_path / "my.toml").write_text(plain('path = "my.npz"\ntarget = "y"'))
    ended = run(["run", "my.toml", "--dry-run"], tmp_path)
    assert ended.code == 0, ended.err[-2000:]
    plain_data = tmp_path / "plain"
    plain_data.mkdir()
    np.savez(plain_data / "my.npz", X=np.zeros((30, 2)), y=Y)
    (plain_data / "my.toml").write_text(plain('path = "my.npz"\ntarget = "y"'))
    assert ended.memory < run(["run", "my.toml", "--dry-run"], plain_data).memory + (100 << 20)


def test_an_archive_with_a_million_members_is_not_listed(plan, tmp_path):
    data = bytearray(with_X(npy(np.zeros((30, 2)))))
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<L", 400 << 20)
    (tmp_path / "my.npz").write_bytes(data)
    assert "lists more arrays than anybody needs" in plan(plain('path = "my.npz"\ntarget = "y"'))


@pytest.mark.parametrize("settings", ["[" * 100_000, '{"a":' * 100_000, '{"n": ' + "9" * 9000 + "}", "x" * (2 << 20)])
def test_the_settings_of_a_recording_are_bounded(tmp_path, settings):
    from tests.fuzz.recordings import recorded

    arrays = {f"{key}.npy": npy(array) for key, array in recorded().items()} | {"settings.npy": npy(np.array(settings))}
    (tmp_path / "my.npz").write_bytes(archive(arrays))
    ended = run(["trace", "my.npz", "my.npz"], tmp_path)
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err[-2000:]
    assert "settings" in ended.err


# --- IDX -------------------------------------------------------------------------------------------------------------


def write_idx(folder, images, labels, end=""):
    folder.mkdir()
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte{end}").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte{end}").write_bytes(labels)


IDX = 'name = "mnist"\nfolder = "idx"'


def test_images_without_pixels_are_refused(plan, tmp_path):
    write_idx(tmp_path / "idx", struct.pack(">4I", 2051, 12, 0, 28), struct.pack(">2I", 2049, 12) + bytes(12))
    assert "holds no pixels: its header says (12, 0, 28)" in plan(plain(IDX))


def test_a_packed_file_is_not_unpacked_beyond_its_header(plan, tmp_path):
    """4 GiB of zeros behind a header of 12 small images."""
    images = gzip.compress(struct.pack(">4I", 2051, 12, 2, 2)) + gzip.compress(bytes(64 << 20), 1) * 64
    write_idx(tmp_path / "idx", images, gzip.compress(struct.pack(">2I", 2049, 12) + bytes(12)), ".gz")
    assert "more bytes of data, where its header says (12, 2, 2)" in plan(plain(IDX))


def test_a_header_of_too_many_pixels_is_believed_before_they_are_read(plan, tmp_path):
    write_idx(tmp_path / "idx", struct.pack(">4I", 2051, 2**20, 28, 28), struct.pack(">2I", 2049, 12) + bytes(12))
    assert "its header says (1048576, 28, 28), which take 6.12 GiB" in plan(plain(IDX))


def test_mnist_itself_is_within_the_limit():
    assert LIMITS["HARNESS_MAX_MEMORY"].default > 70_000 * 784 * 8


# --- CSV, and what is no file ----------------------------------------------------------------------------------------


def test_a_table_of_a_million_columns_is_refused_by_its_first_line(plan, tmp_path):
    (tmp_path / "my.csv").write_text(",".join(f"c{i}" for i in range(10**6)) + ",y\n" + "1," * 10**6 + "0\n")
    told = plan(plain('path = "my.csv"\ntarget = "y"'))
    assert "columns" in told
    assert "at most 50000; the environment variable HARNESS_MAX_COLUMNS raises that" in told


def test_names_behind_a_line_break_in_quotes_are_counted_too(plan, tmp_path):
    (tmp_path / "my.csv").write_text('"a\nb",' + ",".join(f"c{i}" for i in range(60_000)) + ",y\n1,2\n")
    assert "60002 columns; at most 50000" in plan(plain('path = "my.csv"\ntarget = "y"'))


def test_short_lines_under_many_columns_are_counted_as_pandas_fills_them_up(plan, tmp_path):
    (tmp_path / "my.csv").write_text(",".join(f"c{i}" for i in range(40_000)) + ",y\n" + "1\n" * 10**6)
    told = plan(plain('path = "my.csv"\ntarget = "y"'))
    assert "rows of 40001 columns take" in told
    assert "HARNESS_MAX_MEMORY raises that" in told


def test_forty_thousand_columns_are_read_in_seconds(tmp_path):
    names = [f"c{i}" for i in range(40_000)]
    (tmp_path / "my.csv").write_text(
        "\n".join([",".join(names) + ",y", *(f"{i}," * 40_000 + f"{i % 2}" for i in range(9))])
    )
    (tmp_path / "my.toml").write_text(plain('path = "my.csv"\ntarget = "y"'))
    ended = run(["run", "my.toml", "--dry-run"], tmp_path)
    assert ended.code == 0, ended.err[-2000:]
    assert ended.fault() is None


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet", ".toml"])
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_a_device_or_a_pipe_is_never_read(tmp_path, suffix, kind):
    if kind == "device":
        (tmp_path / f"my{suffix}").symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / f"my{suffix}")
    (tmp_path / "other.toml").write_text(plain(f'path = "my{suffix}"\ntarget = "y"'))
    lines = [["run", "my.toml", "--dry-run"]] if suffix == ".toml" else [["run", "other.toml", "--dry-run"]]
    if suffix == ".csv":
        (tmp_path / "shown.toml").write_text(plain() + '[report]\npublished = "my.csv"')
        lines += [["init", "new.toml", "--data", "my.csv"], ["run", "shown.toml", "--dry-run"]]
    if suffix == ".npz":
        (tmp_path / "start.toml").write_text(plain(hidden='[4]\ninit = "my.npz"'))
        lines += [["trace", "my.npz", "my.npz"], ["run", "start.toml", "--dry-run"]]
    for line in lines:
        ended = run(line, tmp_path)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err[-2000:]
        assert "is not a file but a device or a pipe" in ended.err


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [".", "/", ".."])
def test_init_of_a_folder_is_one_line(capsys, place):
    assert "an experiment file ends in .toml; write" in refused(capsys, "init", place)


@pytest.mark.parametrize("port", ["port", "99999999", "-1"])
def test_a_port_that_is_none_is_one_line(capsys, port):
    assert "store" in refused(capsys, "status", "--store", f"postgresql+psycopg://localhost:{port}/x")


def test_a_refusal_of_the_module_is_the_same(tmp_path):
    """The one of the fork and of the real program."""
    (tmp_path / "my.toml").write_text(plain(hidden="[4]\nactivation = {}"))
    command = [sys.executable, "-m", "harness", "run", "my.toml", "--dry-run", "--json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == run(command[3:], tmp_path).err


def test_a_definition_is_read_as_before(tmp_path):
    (tmp_path / "my.toml").write_text(plain(hidden="[8, 8]"))
    assert json.loads(json.dumps(load(tmp_path / "my.toml").network.hidden)) == [8, 8]
    assert error_of(load, tmp_path / "none.toml").endswith("harness init writes a file")
