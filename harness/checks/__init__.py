"""The conformance suite: what a trainer must do, as small named checks against the reference.

`harness check NAME` runs them, and so do our tests and those of third-party adapters (`parametrize`). A check raises
`CheckFailed` with what was seen and what was expected; `CHECKS` holds all of them by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from harness.checks import arithmetic, contract, layers, parts, stacks
from harness.checks.problem import CheckFailed, TrainerClass, Unsupported
from harness.support.errors import describe

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class CheckResult:
    """How one check went; `message` is the failure, the reason, or what was measured.

    "stopped" says nothing of the backend: the check ran into the time limit of `harness check`.
    """

    name: str
    status: Literal["passed", "failed", "unsupported", "stopped"]
    message: str = ""


def _checks_of(module: ModuleType) -> dict[str, Callable[[TrainerClass], str]]:
    """The functions `check_NAME` of a module, in its order."""
    return {name.removeprefix("check_"): item for name, item in vars(module).items() if name.startswith("check_")}


CHECKS: dict[str, Callable[[TrainerClass], str]] = {
    **_checks_of(contract),
    **_checks_of(arithmetic),
    **_checks_of(parts),
    **parts.PARTS,
    **_checks_of(layers),
    **layers.LAYER_CHECKS,
    **_checks_of(stacks),
    **arithmetic.FIVE_EPOCHS,
}
"""Every check by name, in the order in which they are run."""


def run_check(name: str, trainer_class: TrainerClass) -> CheckResult:
    """Run one check; an exception of the adapter's own is a failure of that check."""
    try:
        return CheckResult(name, "passed", CHECKS[name](trainer_class))
    except Unsupported as reason:
        return CheckResult(name, "unsupported", str(reason))
    except CheckFailed as failure:
        return CheckResult(name, "failed", str(failure))
    except Exception as error:
        return CheckResult(name, "failed", describe(error))


def parametrize(trainer_class: TrainerClass) -> "pytest.MarkDecorator":
    """A decorator that makes of one pytest function a test for each check, which it is given ready to be called.

        @parametrize(MylibTrainer)
        def test_conformance(check):
            check()

    What the backend says that it does not support is skipped, with its reason. As with `harness check`, a backend that
    supports no network at all fails: the test `trains_something`.
    """
    import pytest  # which only tests need

    def run(name: str) -> None:
        try:
            CHECKS[name](trainer_class)
        except Unsupported as reason:
            pytest.skip(str(reason))

    tests = {name: partial(run, name) for name in CHECKS} | {"trains_something": partial(_trains, trainer_class)}
    return pytest.mark.parametrize("check", [pytest.param(test, id=name) for name, test in tests.items()])


def _trains(trainer_class: TrainerClass) -> None:
    untrained = nothing_trained([run_check(name, trainer_class) for name in arithmetic.FIVE_EPOCHS])
    if untrained is not None:
        raise CheckFailed(untrained)


def nothing_trained(results: Sequence[CheckResult]) -> str | None:
    """What is said where none of the checks that train five epochs passed; None where one did, or was not run."""
    found = [result.status for result in results if result.name in arithmetic.FIVE_EPOCHS]
    if len(found) < len(arithmetic.FIVE_EPOCHS) or "passed" in found:
        return None
    if set(found) == {"unsupported"}:
        return "not one network could be trained"
    return "not one of the checks that train five epochs passed"
