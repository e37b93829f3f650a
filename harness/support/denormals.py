"""Numbers below 1e-308 (1e-38 in float32) count as 0: arithmetic on them is up to 150 times slower.

L2 with a large learning rate decays weights to there, and saturated units have gradients there. No result depends on
them, but a product of matrices that holds one such member would slow down all of a stack.
"""

import ctypes
import platform
import warnings

_MXCSR = 7  # the last of the eight words of x86-64's `fenv_t` in the GNU C library
_FLUSH_TO_ZERO, _DENORMALS_ARE_ZERO = 1 << 15, 1 << 6


def flush_denormals() -> bool:
    """From now on, in this process: denormal results and operands are 0. False where we do not know how.

    Threads that are started later inherit it. Source: Intel 64 Software Developer's Manual, volume 1, 10.2.3 (MXCSR).
    """
    if platform.machine() not in ("x86_64", "AMD64") or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL("libm.so.6")
    environment = (ctypes.c_uint32 * 8)()
    library.fegetenv(environment)
    environment[_MXCSR] |= _FLUSH_TO_ZERO | _DENORMALS_ARE_ZERO
    library.fesetenv(environment)
    # NumPy looks for the smallest denormal, and wonders that it is 0
    warnings.filterwarnings("ignore", message="The value of the smallest subnormal", category=UserWarning)
    return True
