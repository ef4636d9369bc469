"""nonlin for PyTorch: exact kernels under PyTorch's operators, and functions that it lacks.

`enable` puts nonlin's kernels under PyTorch's own operators, so that models run on them unchanged;
`report` says which. `Activation`, the modules and the functions of this module are nonlin's own
operators; `convert` swaps the activations of a built model, `init_` initialises its layers by what
follows them, and `monitor` watches its activations in training.

The kernels run on the CPU. On other devices nonlin's operators are made of PyTorch's own, which exporters
can have as well: `decompositions`, `onnx_translations`.

>>> import torch, nonlin.torch
>>> nonlin.torch.swiglu(torch.tensor([1.0]), torch.tensor([2.0]))
tensor([1.4621])
"""

from __future__ import annotations

from typing import Any

from ._aten import Operator, Report, disable, enable, is_enabled, report
from ._adaptive import Adaptive, AdaptiveReLU  # after PyTorch has been opened
from ._callbacks import lightning_monitor, trainer_monitor
from ._convert import Conversion, convert
from ._decompositions import decompositions
from ._functional import FUNCTIONS as _functions
from ._functional import UNITS as _units
from ._init import Initialisation, InitialisedLayer, init_
from ._learnable import LEARNABLE, GatedPolynomial, Learnable, Mixture, parameter_groups
from ._modules import MODULES as _modules
from ._modules import Activation
from ._monitor import Monitor, monitor
from . import _named
from ._onnx import onnx_translations
from ._piecewise import APL, PWLU
from ._rational import PAU, GroupRational
from ._saving import recompute

__all__ = [
    "APL",
    "LEARNABLE",
    "PAU",
    "PWLU",
    "Activation",
    "Adaptive",
    "AdaptiveReLU",
    "Conversion",
    "GatedPolynomial",
    "GroupRational",
    "Initialisation",
    "InitialisedLayer",
    "Learnable",
    "Mixture",
    "Monitor",
    "Operator",
    "Report",
    "convert",
    "decompositions",
    "disable",
    "enable",
    "init_",
    "is_enabled",
    "lightning_monitor",
    "monitor",
    "onnx_translations",
    "parameter_groups",
    "recompute",
    "report",
    "trainer_monitor",
    *_functions,
    *_units,
    *_modules,
]

globals().update(_functions)
globals().update(_units)
globals().update(_modules)


def __getattr__(name: str) -> Any:
    made = _named.make(name)
    if made is not None:
        globals()[name] = made
        return made
    known = ", ".join(sorted([*_functions, *_units, *_named.MODULES.values()]))
    raise AttributeError(f"nonlin.torch has no function `{name}`; its functions: {known}")
