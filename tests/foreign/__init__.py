"""Random trainings as an outside user writes them, and a judge of what the harness says about their recordings.

Written from the pages in `docs/` alone. `python -m tests.foreign --seeds 0..59` draws, trains, asks and judges.
"""
