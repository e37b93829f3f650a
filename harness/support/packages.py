"""The four packages stand beside each other; a user's own folder of the same name must not stand in front of one."""

from importlib.util import find_spec
from pathlib import Path

from harness.support.errors import RequestError

_SIBLINGS = ("backends", "experiments", "reports")


def check_not_shadowed() -> None:
    """Raise `RequestError` when another package of the same name is found before ours."""
    home = Path(__file__).resolve().parent.parent.parent
    for name in _SIBLINGS:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or found.parent.parent != home:
            place = found.parent if found else "another place"
            raise RequestError(
                f"the package {name!r} was found in {place}, where it hides the harness's own in {home / name}; "
                "rename that folder, or run from another one"
            )
