"""`python -m benchmarks.loops torch_loader float32`: one loop over the whole sweep, from a cold start."""

import importlib
import sys

from benchmarks.loops import CELLS, digits

name, dtype = sys.argv[1:]
loop = importlib.import_module(f"benchmarks.loops.{name}")
if name == "keras_fit":
    loop.keras.config.set_floatx(dtype)
X_train, y_train, X_test, y_test = digits(dtype)
for learning_rate, l2 in CELLS:
    model = loop.train(X_train, y_train, learning_rate, l2)
    print(f"{learning_rate:.3g} {l2:.3g} {loop.accuracy(model, X_test, y_test):.3f}")
