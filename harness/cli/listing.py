"""`harness list`."""

import tomllib

from harness.cli.options import JsonOption
from harness.cli.output import Output
from harness.registry import backends, profiles

EXAMPLES = (
    "harness list",
    "harness list --json",
)


def command(as_json: JsonOption = False) -> int:
    """Show the backends (with what to install for those that are missing), the suites and the datasets."""
    from experiments.datasets import DATASETS
    from harness.experiment.file import suites

    output = Output("list", as_json=as_json)
    titles = {name: tomllib.loads(path.read_text("utf-8")).get("title", "") for name, path in suites().items()}
    result: dict[str, list[dict[str, str | None]]] = {
        "backends": [
            {"name": name, "version": found.version(), "missing": found.missing(), "description": found.description}
            for name, found in backends().items()
        ],
        "profiles": [{"name": name, "description": found.description} for name, found in profiles().items()],
        "suites": [{"name": name, "description": title} for name, title in titles.items()],
        "datasets": [{"name": name, "description": source.description} for name, source in DATASETS.items()],
    }
    headings = {
        "backends": "Backends",
        "profiles": "Profiles (course codes, native mode only; see: harness conventions)",
        "suites": "Suites (harness run NAME)",
        "datasets": "Datasets",
    }
    for number, (kind, heading) in enumerate(headings.items()):
        output.say("\n" * (number > 0) + heading)
        for entry in result[kind]:
            version = f"{entry['version']:<10} " if kind == "backends" else ""
            output.say(f"  {entry['name']:<22} {entry.get('missing') or version + str(entry['description'])}")
    return output.finish(result)
