"""`harness list`."""

import tomllib

from harness.experiment import suites
from harness.registry import backends, profiles

EXAMPLES = ("harness list",)


def command() -> None:
    """Show the backends (with what to install for those that are missing), the suites and the datasets."""
    from experiments.datasets import DATASETS

    print("Backends")
    for name, backend in backends().items():
        missing = backend.missing()
        state = missing or (f"{backend.version():<10} {backend.description}")
        print(f"  {name:<22} {state}")
    print("\nProfiles (course codes, native mode only; see: harness conventions)")
    for name, profile in profiles().items():
        print(f"  {name:<22} {profile.description}")
    print("\nSuites (harness run NAME)")
    for name, path in suites().items():
        title = tomllib.loads(path.read_text(encoding="utf-8")).get("title", "")
        print(f"  {name:<22} {title}")
    print("\nDatasets")
    for name, source in DATASETS.items():
        print(f"  {name:<22} {source.description}")
