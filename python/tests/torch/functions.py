"""PyTorch's functions of one tensor that nonlin's kernels are put under, by nonlin's names."""

import torch
import torch.nn.functional as F

aten = torch.ops.aten

#: Forward, and backward of a gradient of 1 from what PyTorch keeps: input or output.
OPERATORS = {
    "relu": (F.relu, None),
    "leaky_relu": (F.leaky_relu, lambda g, x: aten.leaky_relu_backward(g, x, 0.01, False)),
    "prelu": (
        lambda x: F.prelu(x, torch.tensor(0.25, dtype=x.dtype)),
        lambda g, x: aten._prelu_kernel_backward(g, x, torch.tensor(0.25, dtype=x.dtype))[0],
    ),
    "elu": (F.elu, lambda g, x: aten.elu_backward(g, 1, 1, 1, False, x)),
    "celu": (F.celu, lambda g, x: aten.elu_backward(g, 1, 1, 1, False, x)),
    "selu": (
        F.selu,
        lambda g, x: aten.elu_backward(
            g, 1.6732632423543772, 1.0507009873554805, 1, False, x
        ),
    ),
    "sigmoid": (torch.sigmoid, aten.sigmoid_backward),
    "tanh": (torch.tanh, aten.tanh_backward),
    "softplus": (F.softplus, lambda g, x: aten.softplus_backward(g, x, 1, 20)),
    "log_sigmoid": (F.logsigmoid, lambda g, x: aten.log_sigmoid_backward(g, x, x)),
    "silu": (F.silu, aten.silu_backward),
    "mish": (F.mish, aten.mish_backward),
    "gelu": (F.gelu, aten.gelu_backward),
    "gelu_tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        lambda g, x: aten.gelu_backward(g, x, approximate="tanh"),
    ),
    "hard_swish": (F.hardswish, aten.hardswish_backward),
    "hard_sigmoid": (F.hardsigmoid, aten.hardsigmoid_backward),
}

#: Whose backward PyTorch gives the output.
FROM_OUTPUT = ("sigmoid", "tanh")

#: Forward alone.
FUNCTIONS = {name: forward for name, (forward, _) in OPERATORS.items()}
