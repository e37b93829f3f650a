"""Tools for who changes the harness: what it plans, draws and says, and whether a change has changed that."""
