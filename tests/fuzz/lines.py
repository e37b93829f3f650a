"""Strategies: command lines, most of them wrong in some place, and none that trains for long."""

from hypothesis import strategies as st

from harness.cli import COMMANDS

_PLACES = [
    "small.toml",
    "my.csv",
    "my.npz",
    "run.npz",
    "nowhere.toml",
    ".",
    "..",
    "/",
    "/dev/zero",
    "/dev/null",
    "a\x00b".replace("\x00", ""),
    "x" * 300,
    "x" * 300 + ".toml",
    "",
    " ",
    "-",
    "é.toml",
    "folder/x.toml",
    "small.toml/x",
    "my.csv.toml",
    "~",
]
_NAMES = [
    "digits-quick",
    "digits-quik",
    "gates",
    "numpy",
    "torch",
    "numpi",
    "controlled",
    "course-2024",
    "arrays",
    "small",
]
_NUMBERS = [
    "0",
    "-1",
    "1",
    "2",
    "7",
    "1e9",
    "nan",
    "inf",
    "1000000000",
    "9" * 400,
    "9" * 5000,
    "0x10",
    "1_000",
    "٣",
    "",
    "x",
    "1.5",
    "1,2",
    ",",
]
_CELLS = [
    "",
    "l2=0",
    "l2=0.01",
    "lr=0.1",
    "wd=0",
    "l2=7",
    "l2",
    "=",
    "l2=0,l2=0",
    "l2=" + "9" * 5000,
    "x=[1,2",
    "l2=nan",
    "l2==",
    ",,,",
    "l2=0.01,",
]
_STORES = [
    "x.db",
    "sqlite:///x.db",
    "sqlite:///nowhere/x.db",
    "postgresql+psycopg://h:port/x",
    "postgresql+psycopg://localhost:1/x",
    "postgresql+psycopg://u:p@localhost:99999999/x",
    "nosuch://x",
    "://",
    "sqlite:///small.toml",
    "my.csv",
    "sqlite://x@y:z",
    "[::1",
    "http://[::1",
]
_WORDS = [
    "html",
    "csv",
    "json",
    "markdown",
    "parquet",
    "xml",
    "native",
    "controlled",
    "nativ",
    "float64",
    "both",
    "y",
    "z",
    "a,b",
    "*",
    "[",
    "stack_*",
]
_OPTIONS = [
    "--backends",
    "--backend",
    "--modes",
    "--mode",
    "--seeds",
    "--seed",
    "--store",
    "--out",
    "-o",
    "--workers",
    "--retry-failed",
    "--refresh",
    "--retrain",
    "--save-weights",
    "--quiet",
    "-q",
    "--json",
    "--cell",
    "--steps",
    "--ladder",
    "--format",
    "--experiment",
    "--compare",
    "--data",
    "--target",
    "--force",
    "--only",
    "--full",
    "--verbose",
    "--widths",
    "--depths",
    "--rows",
    "--batch-sizes",
    "--repeats",
    "--threads",
    "--dtype",
    "--time-limit",
    "--output",
    "--help",
    "--version",
    "--nonsense",
    "--",
    "--x=",
    "--seed=",
    "-z",
]

word = st.one_of(
    st.sampled_from(_PLACES),
    st.sampled_from(_NAMES),
    st.sampled_from(_NUMBERS),
    st.sampled_from(_CELLS),
    st.sampled_from(_STORES),
    st.sampled_from(_WORDS),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=6),
)

_TRAINS = {
    "run": ["--dry-run"],
    "bench": ["--repeats", "3"],
    "explain": ["--seeds", "1"],
    "doctor": ["--backends", "numpi"],
    "check": ["--time-limit", "0"],
    "new-backend": [],
}
"""What keeps a command from training for minutes, or makes it wrong."""

_VALUES = {
    "--cell": _CELLS,
    "--store": _STORES,
    "--seed": _NUMBERS,
    "--seeds": _NUMBERS,
    "--steps": _NUMBERS,
    "--workers": _NUMBERS,
    "--format": _WORDS,
    "--data": _PLACES,
    "-o": _PLACES,
    "--out": _PLACES,
    "--backends": _NAMES,
    "--widths": _NUMBERS,
}


@st.composite
def command_line(draw: st.DrawFn) -> list[str]:
    """A command with arguments and options that it may have, or not, with values or without."""
    name = draw(st.sampled_from([*COMMANDS, *COMMANDS, "rum", "", "--help", "--version"]))
    line = draw(st.lists(word, max_size=3))
    if name in ("run", "explain", "trace", "dump", "conventions") and draw(st.booleans()):
        line.insert(0, "small.toml")
    for option in draw(st.lists(st.sampled_from(_OPTIONS), max_size=4)):
        line.append(option)
        if draw(st.integers(0, 3)):
            line.append(draw(st.sampled_from(_VALUES[option]) if option in _VALUES else word))
    return [name, *line, *_TRAINS.get(name, [])]
