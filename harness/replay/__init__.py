"""Training under any row of the conventions table, in NumPy."""
