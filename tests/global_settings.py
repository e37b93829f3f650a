"""What a fit changes in a process: `python -m tests.global_settings torch` prints a line for each thing.

The process is a user's: it has imported the framework, has settings that are nobody's default, and a seed. The last
line says how many settings were looked at.
"""

import ctypes
import logging
import os
import platform
import random
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from threadpoolctl import threadpool_info

from harness import NetworkClassifier


def of_process():
    loggers = {name: logging.getLogger(name) for name in list(logging.Logger.manager.loggerDict)} | {"": logging.root}
    return {
        **{f"os.environ[{name}]": value for name, value in os.environ.items()},
        **{f"level of logger {name!r}": (it.level, it.disabled, len(it.handlers)) for name, it in loggers.items()},
        "logging.disable": logging.root.manager.disable,
        "warnings.filters": list(warnings.filters),
        "warnings.showwarning": warnings.showwarning,
        "streams": (sys.stdout, sys.stderr),
        "folder": Path.cwd(),
        "random": random.getstate(),
        "numpy.random": [part if np.isscalar(part) else part.tolist() for part in np.random.get_state()],
        "numpy.geterr": np.geterr(),
        "threads": {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()},
        "floating point": floating_point(),
    }


def floating_point():
    """Rounding, traps and flushing of denormals, but not the flags that all arithmetic raises; () where unknown."""
    if platform.machine() not in ("x86_64", "AMD64") or platform.libc_ver()[0] != "glibc":
        return ()
    environment = (ctypes.c_uint32 * 8)()
    ctypes.CDLL("libm.so.6").fegetenv(environment)
    return environment[0], environment[7] & ~0x3F


class Numpy:
    """NumPy alone. The frameworks have their own: `unusual` settings, the `settings`, and `numbers` after a seed."""

    def unusual(self):
        np.seterr(divide="raise", over="raise")
        warnings.simplefilter("error")

    def settings(self):
        return {}

    def numbers(self):
        random.seed(3)
        np.random.seed(3)
        return lambda: [random.random(), np.random.random()]


class Sklearn(Numpy):
    def settings(self):
        import sklearn

        return sklearn.get_config()


class Torch(Numpy):
    def unusual(self):
        import torch

        torch.set_default_dtype(torch.float16)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(2)
        torch.set_float32_matmul_precision("medium")

    def settings(self):
        import torch

        return {
            "dtype": torch.get_default_dtype(),
            "device": torch.get_default_device(),
            "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
            "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "matmul": (torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled),
            "generator": torch.get_rng_state().tolist(),
        }

    def numbers(self):
        import torch

        torch.manual_seed(3)
        return lambda: torch.rand(2).tolist()


class Tensorflow(Numpy):
    """TensorFlow, and Keras, which comes with it: their users have both."""

    def unusual(self):
        import keras
        import tensorflow as tf

        tf.get_logger().setLevel("INFO")
        keras.config.set_floatx("float16")
        keras.config.set_epsilon(1e-5)
        keras.config.set_dtype_policy("mixed_bfloat16")
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])  # has given out names

    def settings(self):
        import keras
        import tensorflow as tf
        from keras.src.backend.common import global_state

        threading, config = tf.config.threading, keras.config
        threads = threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
        return {
            "TensorFlow's threads": threads,
            "eager": (tf.executing_eagerly(), tf.config.functions_run_eagerly()),
            "graph": tf.compat.v1.get_default_graph(),
            "optimizer": (tf.config.optimizer.get_jit(), tf.config.optimizer.get_experimental_options()),
            "TensorFloat-32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "placement": tf.config.get_soft_device_placement(),
            "generator": tf.random.get_global_generator().state.numpy().tolist(),
            "floatx": (config.floatx(), config.epsilon(), config.image_data_format()),
            "policy": config.dtype_policy().name,
            "Keras's logging": (config.is_interactive_logging_enabled(), config.is_traceback_filtering_enabled()),
            **{f"state {name}": str(value) for name, value in vars(global_state.GLOBAL_STATE_TRACKER).items()},
        }

    def numbers(self):
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(3)
        return lambda: [
            *tf.random.normal([2]).numpy().tolist(),
            *keras.ops.convert_to_numpy(keras.random.normal((2,), dtype="float32")).tolist(),
        ]


USERS = {"sklearn": Sklearn, "torch": Torch, "torch-manual": Torch, "tensorflow": Tensorflow, "keras": Tensorflow}


def main(backend):
    user = USERS.get(backend, Numpy)()
    user.unusual()
    X, y = load_iris(return_X_y=True)
    expected = user.numbers()()
    draw = user.numbers()

    before = {**of_process(), **user.settings()}
    before = {**of_process(), **user.settings()}  # asking has created a generator
    NetworkClassifier(backend, epochs=3).fit(X, y).predict_proba(X)
    after = {**of_process(), **user.settings()}

    new = [name for name in after.keys() - before.keys() if not name.startswith("level of logger")]
    for name in [*before, *new]:
        if before.get(name) != after.get(name):
            print(f"{name}: {before.get(name)} -> {after.get(name)}")
    if draw() != expected:
        print("the next random numbers are others")
    print(len(before), "settings")


if __name__ == "__main__":
    main(sys.argv[1])
