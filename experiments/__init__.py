"""The suites that ship with the harness, as TOML files, and the datasets that experiments name."""
