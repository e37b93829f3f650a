"""Trainings, step by step, as NPZ files."""
