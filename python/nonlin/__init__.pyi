"""Neural-network activation functions as NumPy ufuncs. Written by `tools/stub.py`."""

from typing import Any

import numpy as np

from nonlin import init as init
from nonlin._catalog import Info as Info
from nonlin._catalog import catalog as catalog
from nonlin._catalog import get as get
from nonlin._catalog import info as info
from nonlin._gradients import backward_from_output as backward_from_output
from nonlin._gradients import derivative as derivative
from nonlin._gradients import vjp as vjp
from nonlin._learnable import Learnable as Learnable
from nonlin._nonlin import Function as Function
from nonlin._nonlin import __version__ as __version__
from nonlin._nonlin import get_num_threads as get_num_threads
from nonlin._nonlin import set_num_threads as set_num_threads
from nonlin._plot import plot as plot
from nonlin._rational import RationalFit as RationalFit
from nonlin._rational import fit_rational as fit_rational
from nonlin._rows import RowFunction as RowFunction

def __dir__() -> list[str]: ...
celu: Function
elu: Function
gelu: Function
gelu_tanh: np.ufunc
hard_sigmoid: Function
hard_swish: np.ufunc
identity: np.ufunc
leaky_relu: Function
log_sigmoid: np.ufunc
mish: np.ufunc
prelu: Function
relu: np.ufunc
rrelu: Function
selu: np.ufunc
sigmoid: np.ufunc
silu: Function
softplus: Function
tanh: np.ufunc
bilinear: np.ufunc
geglu: np.ufunc
glu: np.ufunc
reglu: np.ufunc
relu_glu: np.ufunc
swiglu: np.ufunc
log_softmax: RowFunction
softmax: RowFunction

def Celu(**params: Any) -> Function: ...
def Elu(**params: Any) -> Function: ...
def Gelu(**params: Any) -> Function: ...
def GeluTanh(**params: Any) -> np.ufunc: ...
def HardSigmoid(**params: Any) -> Function: ...
def HardSwish(**params: Any) -> np.ufunc: ...
def Identity(**params: Any) -> np.ufunc: ...
def LeakyRelu(**params: Any) -> Function: ...
def LogSigmoid(**params: Any) -> np.ufunc: ...
def Mish(**params: Any) -> np.ufunc: ...
def Prelu(**params: Any) -> Function: ...
def Relu(**params: Any) -> np.ufunc: ...
def Rrelu(**params: Any) -> Function: ...
def Selu(**params: Any) -> np.ufunc: ...
def Sigmoid(**params: Any) -> np.ufunc: ...
def Silu(**params: Any) -> Function: ...
def Softplus(**params: Any) -> Function: ...
def Tanh(**params: Any) -> np.ufunc: ...
def Bilinear(**params: Any) -> np.ufunc: ...
def Geglu(**params: Any) -> np.ufunc: ...
def Glu(**params: Any) -> np.ufunc: ...
def Reglu(**params: Any) -> np.ufunc: ...
def ReluGlu(**params: Any) -> np.ufunc: ...
def Swiglu(**params: Any) -> np.ufunc: ...
def LogSoftmax(**params: Any) -> RowFunction: ...
def Softmax(**params: Any) -> RowFunction: ...

__all__ = [
    "Bilinear",
    "Celu",
    "Elu",
    "Function",
    "Geglu",
    "Gelu",
    "GeluTanh",
    "Glu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Info",
    "LeakyRelu",
    "Learnable",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "Prelu",
    "RationalFit",
    "Reglu",
    "Relu",
    "ReluGlu",
    "RowFunction",
    "Rrelu",
    "Selu",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "Swiglu",
    "Tanh",
    "backward_from_output",
    "bilinear",
    "catalog",
    "celu",
    "derivative",
    "elu",
    "fit_rational",
    "geglu",
    "gelu",
    "gelu_tanh",
    "get",
    "get_num_threads",
    "glu",
    "hard_sigmoid",
    "hard_swish",
    "identity",
    "info",
    "init",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "plot",
    "prelu",
    "reglu",
    "relu",
    "relu_glu",
    "rrelu",
    "selu",
    "set_num_threads",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "swiglu",
    "tanh",
    "vjp",
]
