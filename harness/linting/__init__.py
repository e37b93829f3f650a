"""What looks wrong with data and settings before any training. `harness.lint` is `linter.lint`."""
