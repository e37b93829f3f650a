"""From an experiment to its trials, their ids, and the stacks that they are trained in."""
