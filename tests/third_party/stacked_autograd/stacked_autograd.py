"""autograd (https://github.com/HIPS/autograd) as a backend, by the harness's formulas: every part, in stacks."""

import autograd
import autograd.numpy

from harness import AutodiffStack


class StackedAutograd(AutodiffStack):
    """The arrays and the derivatives are autograd's."""

    name = "stacked_autograd"
    requires = ("autograd",)
    arithmetic = ("autograd.numpy.matmul", "autograd.core.backward_pass")

    np = autograd.numpy
    grad = staticmethod(autograd.grad)
