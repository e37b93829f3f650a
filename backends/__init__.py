"""The adapters: one folder a framework, with the same files in each.

`__init__.py` is the manifest, which imports no framework; `trainer.py` the adapter, whose tables of what it has are in
`layers.py`, `losses.py` and `optimizers.py`; `native.py` the few lines that a user would write; `conventions.py` how
those read every hyperparameter; `lines.py` the same lines as text; `recorder.py` watches a training of the user's.
"""

MANIFESTS = tuple(
    f"backends.{folder}:BACKEND" for folder in ("numpy", "sklearn", "tensorflow", "keras", "torch", "torch_manual")
)
"""Of our own backends, in the order in which they are shown."""
