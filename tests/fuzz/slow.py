"""What a worker can be told to do that takes too long."""

import time


def never_ends(name, trainer):
    """In place of a check."""
    time.sleep(600)
