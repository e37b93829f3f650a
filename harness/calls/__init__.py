"""The very lines that a user of each framework writes: for a config, and to take over another's convention."""
