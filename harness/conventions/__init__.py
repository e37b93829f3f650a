"""How frameworks and course codes read each hyperparameter: the table, and rows of it."""
