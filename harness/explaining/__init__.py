"""Why two results differ: gaps, shares and ladders. `harness.explain` is `explainer.explain`."""
