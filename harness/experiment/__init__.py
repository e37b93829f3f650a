"""An experiment file: what it may say, its axes and cells, and the data that it names."""
