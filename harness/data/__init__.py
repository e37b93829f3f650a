"""From arrays and tables to the prepared parts of one repeat."""
