"""What every number means: the network, its losses and its optimizers written out in NumPy."""
