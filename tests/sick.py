"""Adapters that end in the ways in which a broken installation ends, whatever they are asked to train."""

import os
import time

from harness.reference.trainer import Reference


class Dies(Reference):
    name = "dying"

    def train(self, X, y, batches, after_epoch):
        os._exit(3)


class Raises(Reference):
    name = "raising"

    def train(self, X, y, batches, after_epoch):
        raise RuntimeError("the driver is too old")


class Hangs(Reference):
    name = "hanging"

    def train(self, X, y, batches, after_epoch):
        time.sleep(600)
