"""`harness new-backend`."""

import difflib
import keyword
import os
import re
import shlex
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from harness.cli.options import make_folder
from harness.registry import backends, taken
from harness.support.errors import RequestError, short

EXAMPLES = (
    "harness new-backend mylib",
    "harness new-backend mylib --autodiff    # of a framework that differentiates functions of arrays, such as JAX",
    "harness new-backend mylib --out packages",
)

_LONGEST = 60  # letters; file names and the columns of tables have to hold a name

_TEMPLATES = {  # a file of harness/templates/backend -> what it is called in the package
    "pyproject.toml.template": "pyproject.toml",
    "test_adapter.py.template": "test_${name}_backend.py",
    "README.md.template": "README.md",
    "gitignore.template": ".gitignore",
}
_ADAPTERS = {  # what the adapter is written in -> its template, the package's dependency, the last line that is said
    "numpy": ("adapter.py.template", "It computes with NumPy."),
    "autograd": ("autodiff.py.template", "It computes with autograd (pip install autograd)."),
}


def command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The backend's name, such as that of the framework that it drives.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to make the folder NAME-backend.")] = Path(),
    autodiff: Annotated[
        bool, typer.Option("--autodiff", help="By the harness's formulas, for a framework that differentiates arrays.")
    ] = False,
) -> None:
    """Write a small package with a new backend that works: adapter, entry point and conformance test."""
    _check(name)
    dependency = "autograd" if autodiff else "numpy"
    template, told = _ADAPTERS[dependency]
    words = {
        "name": name,
        "class_name": "".join(word.capitalize() for word in name.split("_")) + "Trainer",
        "distribution": f"{name.replace('_', '-')}-backend",
        "dependency": dependency,
    }
    folder = out / words["distribution"]
    _write(folder, words, {template: "${name}_backend.py", **_TEMPLATES})
    print(
        f"wrote {folder}; next:\n"
        f"  pip install -e {shlex.quote(str(folder))}\n"
        f"  harness check {name}\n"
        f"  harness run digits-quick --backends numpy,{name} --modes controlled\n"
        f"{told} A TODO in {name}_backend.py marks each place for calls of your framework.",
        file=sys.stderr,
    )


def _check(name: str) -> None:
    """Refuse a name that no package can have, or that somebody else has."""
    if not _is_module_name(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        told = difflib.get_close_matches(name.lower(), [near]) and _is_module_name(near)
        raise RequestError(
            f"new backend {short(name)}{f': did you mean {near!r}?' if told else ''} (allowed: a name for a Python "
            f"module, of lower-case letters, digits and _, at most {_LONGEST})"
        )
    reason = taken(name)
    if reason is None and name in {known.replace("-", "_") for known in backends()}:
        reason = "is a backend already (see: harness list)"
    if reason is None and name in sys.stdlib_module_names:
        reason = "is a module of Python itself"
    if reason is None and find_spec(f"{name}_backend") is not None:
        reason = f"would hide a module {name}_backend that is installed"
    if reason is not None:
        raise RequestError(f"new backend {name!r}: {name} {reason}; give another name, such as 'my_{name}'")


def _is_module_name(name: str) -> bool:
    allowed = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is not None
    return allowed and len(name) <= _LONGEST and not keyword.iskeyword(name)


def _write(folder: Path, words: dict[str, str], templates: dict[str, str]) -> None:
    """The package, with `words` filled in, in a folder that there was not."""
    if os.path.lexists(folder):  # unlike `exists` of a path, it takes any text for a name
        raise RequestError(f"{folder}: is there already, and nothing is overwritten; remove it, or give another --out")
    make_folder(folder)
    for template, name in templates.items():
        text = (files("harness") / "templates" / "backend" / template).read_text(encoding="utf-8")
        (folder / Template(name).substitute(words)).write_text(Template(text).substitute(words), encoding="utf-8")
