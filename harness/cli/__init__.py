"""The command line: one file a subcommand. Data go to standard output, all else to standard error."""

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

import typer

from harness.errors import RequestError, unknown
from harness.packages import check_not_shadowed

COMMANDS: dict[str, str] = {
    "list": "listing",
    "run": "run",
    "status": "status",
    "report": "report",
    "export": "export",
    "dump": "dump",
    "check": "check",
    "conventions": "conventions",
    "explain": "explain",
    "trace": "trace",
    "bench": "bench",
}
"""Subcommand -> the module of this package that has its `command` and its `EXAMPLES`."""


INTERRUPTED = 130  # what shells report for a process that Ctrl-C has ended


def make_app(names: Iterable[str]) -> typer.Typer:
    """The application with these subcommands. Only their modules are imported: `list` need not wait for pandas."""
    app = typer.Typer(
        name="harness",
        help="Train the same network, from the same start, on the same batches, through any backend; "
        "show the results side by side; and where two backends differ, see by how much.",
        epilog=_examples(("harness list", "harness run digits-quick")),
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def harness() -> None:  # its presence keeps a single subcommand a subcommand
        pass

    for name in names:
        module = import_module(f"harness.cli.{COMMANDS[name]}")
        app.command(name, epilog=_examples(module.EXAMPLES))(module.command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `harness` and of `python -m harness`. Ends the process with the exit code."""
    sys.exit(invoke(arguments))


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0, 1 for results that failed, 2 for a request that is wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if given[0] not in COMMANDS and not given[0].startswith("-"):
        return _refuse(unknown("command", given[0], COMMANDS))
    try:
        check_not_shadowed()
        app = make_app([given[0]] if given[0] in COMMANDS else COMMANDS)
        code = app(args=given, standalone_mode=False, prog_name="harness")
        print(end="", flush=True)  # a full disk shows itself here, not when the process ends
    except typer.TyperException as error:
        return _refuse(error.format_message())
    except RequestError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = None
        return 0
    except OSError as error:
        sys.stdout = None
        return _refuse(f"standard output cannot be written: {error.strerror}")
    if code == INTERRUPTED:
        print("interrupted; what is finished is stored, run the same command again to go on", file=sys.stderr)
    return int(code or 0)


def _examples(commands: Iterable[str]) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def _refuse(message: str) -> int:
    print("harness: " + " ".join(message.split()), file=sys.stderr)
    return 2
