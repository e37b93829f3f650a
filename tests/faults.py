"""Adapters that fail in the ways that real ones fail; what a trial does is told by its momentum."""

import os
import signal
import time

from harness.reference import Reference
from harness.trainer import Diverged
from tests.mutants_of_stacks import CorrectStack

FINE, RAISE, EXIT, SEGFAULT, HANG, OVERFLOW, REFUSE, SKIP = 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8


class Faulty(Reference):
    name = "faulty"

    @classmethod
    def unsupported(cls, config):
        return "this backend has no such momentum" if config.momentum == REFUSE else None

    def train(self, X, y, batches, after_epoch):
        print("chatter that nobody asked for", flush=True)
        fault = self.config.momentum
        if fault == RAISE:
            raise RuntimeError("the framework\nfell over")
        if fault == EXIT:
            os._exit(3)
        if fault == SEGFAULT:
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == HANG:
            time.sleep(600)
        if fault == SKIP:
            after_epoch(1)
            return
        if fault == OVERFLOW:
            raise Diverged("weights are not finite")
        super().train(X, y, batches, after_epoch)


class SupportsNothing(Reference):
    name = "nothing"

    @classmethod
    def unsupported(cls, config):
        return "not today"


def threads_in_use():
    """What the numerical libraries of this process say about their threads."""
    import numpy  # noqa: F401
    import threadpoolctl

    return [library["num_threads"] for library in threadpoolctl.threadpool_info()]


def torch_threads():
    import torch

    return torch.get_num_threads()


class Slow(Reference):
    """Takes its time, so that a run can be killed in the middle."""

    name = "slow"

    def train(self, X, y, batches, after_epoch):
        time.sleep(0.2)
        super().train(X, y, batches, after_epoch)


class FaultyStack(CorrectStack):
    """Trains stacks, and one member with a fault takes all of them with it."""

    name = "faulty-stack"

    def build_stack(self, configs, start):
        super().build_stack(configs, start)
        self.configs = configs

    def train_stack(self, X, y, batches, after_epoch):
        present = {config.momentum for config in self.configs}
        if RAISE in present:
            raise RuntimeError("one of these cannot be trained")
        if EXIT in present:
            os._exit(3)
        if HANG in present:
            time.sleep(600)
        if OVERFLOW in present:
            raise Diverged("weights are not finite")
        super().train_stack(X, y, batches, after_epoch)


class OnlyThrees(CorrectStack):
    """Compiles, so to say: knows stacks of three only."""

    name = "threes"
    compiles = True

    def build_stack(self, configs, start):
        if len(configs) != 3:
            raise RuntimeError(f"a stack of {len(configs)}")
        super().build_stack(configs, start)
