"""The command line: one file a subcommand. Data go to standard output, all else to standard error.

Nothing slow is imported here, so that Ctrl-C is heard from the first moment on.
"""

import ast
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness.support.errors import RequestError, Told, unknown
from harness.support.interrupts import INTERRUPTED, hear, hear_no_more
from harness.support.packages import check_not_shadowed
from harness.support.secrets import without_secrets

if TYPE_CHECKING:
    import typer

COMMANDS: dict[str, str] = {
    "list": "listing",
    "init": "init",
    "schema": "schema",
    "run": "run",
    "status": "status",
    "report": "report",
    "export": "export",
    "store": "store",
    "dump": "dump",
    "check": "check",
    "new-backend": "new_backend",
    "conventions": "conventions",
    "explain": "explain",
    "trace": "trace",
    "bench": "bench",
    "doctor": "doctor",
}
"""Subcommand -> the module of this package that has its `command` and its `EXAMPLES`."""


_COMPLETE = "_HARNESS_COMPLETE"  # set by the shell that asks for completions; the words so far stand in one of:
_WORDS = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")


def make_app(names: Iterable[str] = ()) -> "typer.Typer":
    """The application with these subcommands; or, where none is named, with what `--help` shows of all of them.

    Only the modules of `names` are imported: `list` need not wait for pandas, nor a completion for anything.
    """
    import typer

    app = typer.Typer(
        name="harness",
        help="Train the same network, from the same start, on the same batches, through any backend; "
        "show the results side by side; and where two backends differ, see by how much.",
        epilog=_examples(
            (
                "harness doctor                 # does everything work here?",
                "harness run digits-quick       # a first comparison, a minute or two",
                "harness init my.toml           # an experiment of one's own",
                "harness --install-completion   # names of suites and backends by the tab key",
            )
        ),
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def harness(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:  # its presence keeps a single subcommand a subcommand
        pass

    imported = {name: import_module(f"harness.cli.{COMMANDS[name]}") for name in names}
    for name, module in imported.items():
        app.command(name, epilog=_examples(module.EXAMPLES))(module.command)
    for name in () if imported else COMMANDS:
        app.command(name, short_help=_summary(name))(lambda: None)
    return app


def _summary(name: str) -> str:
    """The first line of what a subcommand says of itself, read from its source."""
    source = Path(__file__).with_name(f"{COMMANDS[name]}.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    told = ast.get_docstring(next(node for node in functions if node.name == "command")) or name
    return told.splitlines()[0]


def _version(asked: bool) -> None:
    if asked:
        import typer

        from harness.support.version import __version__

        print(f"harness {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `harness` and of `python -m harness`. Ends the process with the exit code."""
    try:
        hear()
        code = invoke(arguments)
    except KeyboardInterrupt:
        code = _interrupted("")
    hear_no_more()
    sys.exit(code)


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0, 1 for results that failed, 2 for a request that is wrong."""
    if _COMPLETE in os.environ:
        return _complete()
    import typer

    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    name = given[0] if given[0] in COMMANDS else None
    if name is None and not given[0].startswith("-"):
        return _refuse(unknown("command", given[0], COMMANDS) + "; see: harness --help")
    try:
        check_not_shadowed()
        code = make_app([name] if name else ())(args=given, standalone_mode=False, prog_name="harness")
        print(end="", flush=True)  # a full disk shows itself here, not when the process ends
    except typer.TyperException as error:
        return _refuse(f"{error.format_message().rstrip('.')}; see: harness {name + ' ' if name else ''}--help")
    except RequestError as error:
        return _refuse(str(error))
    except Told as error:  # a worker process that could not be kept alive, say
        _refuse(str(error))
        return 1
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = None
        return 0
    except OSError as error:
        sys.stdout = None
        return _refuse(f"standard output cannot be written: {error.strerror}")
    if code == INTERRUPTED:
        return _interrupted(name)
    return int(code or 0)


def _interrupted(name: str | None) -> int:
    kept = "; what is finished is stored, run the same command again to go on" if name == "run" else ""
    with suppress(OSError):  # the terminal may be what has gone
        print(f"interrupted{kept}", file=sys.stderr, flush=True)
    return INTERRUPTED


def _complete() -> int:
    """Answer the shell with what could stand next. Whatever is wrong shows when the command is run, not now."""
    words = next((os.environ[name] for name in _WORDS if name in os.environ), "").split()[1:]
    try:
        make_app([name for name in words[:1] if name in COMMANDS])(prog_name="harness")
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:
        return 1
    return 0


def _examples(commands: Iterable[str]) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def _refuse(message: str) -> int:
    # typer has its choices checked by pydantic, which puts its own word before the reason
    line = " ".join(message.replace("Value error, ", "").split())
    print("harness: " + without_secrets(line), file=sys.stderr)
    return 2
