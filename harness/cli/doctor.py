"""`harness doctor`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from harness import registry
from harness.cli import completion
from harness.cli.options import STORE, JsonOption, QuietOption, StoreOption, names
from harness.cli.output import Output

if TYPE_CHECKING:
    from harness.execution.doctor import StorePlace

EXAMPLES = (
    "harness doctor",
    "harness doctor --backends numpy,torch",
    "harness doctor --json > doctor.json     # to put beside a question or a bug report",
)


def command(
    backends: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Try these only (default: all known).", autocompletion=completion.backend_names
        ),
    ] = None,
    store: StoreOption = STORE,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Show versions, threads, machine and store, and try one training step in each backend.

    Exit code: 0 every installed backend does what the reference does, and the store can be written; 1 something is to
    be mended, and the last lines say how.
    """
    from harness.execution.doctor import FAULTS, environment, look_at_store, try_backends

    output = Output("doctor", quiet, as_json)
    known = registry.backends()
    chosen = [registry.backend(name) for name in dict.fromkeys(names(backends) or known)]
    facts = environment()
    for name, value in facts.items():
        output.say(f"{name:<17} {value}")
    place = look_at_store(store)
    output.say(f"{'store':<17} {_store_line(place)}")
    output.say("\nOne training step in each backend, against the reference")
    width = max(len(found.version()) for found in chosen)
    tried = []
    for found in try_backends(chosen):
        tried.append(found)
        output.tell(f"  {found.backend:<14} {found.version:<{width}}  {found.verdict:<14} {found.told}")
    faults = [f"{found.backend}: {found.verdict}: {found.told}" for found in tried if found.verdict in FAULTS]
    faults += [f"store: {place.fault}"] if place.fault else []
    works = sum(found.verdict == "ok" for found in tried)
    output.say(
        f"\n{works} of {len(tried)} backends work" + (", and the store can be written" if not place.fault else "")
    )
    for fault in faults:
        output.say(f"to mend: {fault}")
    return output.finish(
        {
            "environment": facts,
            "store": asdict(place),
            "backends": [asdict(found) for found in tried],
            "faults": faults,
        },
        int(bool(faults)),
    )


def _store_line(place: "StorePlace") -> str:
    if place.fault:
        return place.fault
    if place.path is None:
        return f"{place.url}: the server answers; {place.experiments} experiments"
    state = f"{place.experiments} experiments" if place.exists else "not there yet, the first run makes it"
    return f"{place.path}: {state}; writable, {(place.free_bytes or 0) / 1e9:.0f} GB free"
