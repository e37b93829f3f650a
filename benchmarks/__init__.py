"""Our sweep against what people run today: `python -m benchmarks`, from a checkout. Not installed with the package."""
