"""The checks of `harness check autograd`, one test each."""

from autograd_backend import AutogradTrainer

from harness.checks import parametrize


@parametrize(AutogradTrainer)
def test_conformance(check):
    check()
