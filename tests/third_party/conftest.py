"""A package of somebody else's: installed, and tested on its own, by tests/test_new_backend.py."""

collect_ignore = ["autograd_backend"]
