"""One trial or stack from arrays to an outcome, its metrics, and how far it is from the reference."""
