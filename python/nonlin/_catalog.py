"""Functions by name, and what is known of them."""

import sys
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Mapping, NamedTuple

from nonlin import _nonlin, _rows


class Parameter(NamedTuple):
    """A parameter: its default, its bounds, what it does, and whether the default is a constant that
    is never rounded to float32, such as 1/6."""

    default: float
    low: float
    high: float
    doc: str
    exact: bool


@dataclass(frozen=True)
class Info:
    """What is known of a function.

    Examples
    --------
    >>> import nonlin
    >>> about = nonlin.info("swish")
    >>> about.name, about.kind, about.pytorch
    ('silu', 'elementwise', 'SiLU')
    """

    name: str
    kind: str
    formula: str
    aliases: "tuple[str, ...]" = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict, hash=False)
    source: str = ""
    pytorch: str = ""
    jax: str = ""
    keras: str = ""
    onnx: str = ""
    use_when: str = ""
    avoid_when: str = ""
    range: "tuple[float, float] | None" = None
    limits: "tuple[float, float] | None" = None
    slope_limits: "tuple[float, float] | None" = None
    lipschitz: "float | None" = None
    monotone: "bool | None" = None
    minimum: "tuple[float, float] | None" = None
    kinks: "tuple[tuple[float, float, float, float], ...]" = ()
    slope_zeros: "tuple[float, ...]" = ()
    float32_errors: "tuple[float, float] | None" = None
    float64_errors: "tuple[float, float] | None" = None

    def __reduce__(self) -> Any:
        return info, (self.name,)


def _info(name: str) -> Info:
    facts = _nonlin.facts(name)
    parameters = {n: Parameter(*p) for n, p in facts.pop("parameters").items()}
    for key in ("aliases", "kinks", "slope_zeros"):
        facts[key] = tuple(facts.get(key, ()))
    return Info(parameters=MappingProxyType(parameters), **facts)


def info(function: Any) -> Info:
    """What is known of a function: names, formula, parameters, limits, errors.

    Parameters
    ----------
    function : str or function of nonlin
        A name or an alias, in any case and with or without `_` and `-`; a formula; or the function.

    Returns
    -------
    Info

    Raises
    ------
    ValueError
        If there is no function of that name; the message says which is the nearest.

    Examples
    --------
    >>> import nonlin
    >>> nonlin.info("gelu").formula
    'x * normal_cdf(x)'
    >>> nonlin.info(nonlin.elu).parameters["alpha"].default
    1.0
    """
    if isinstance(function, _rows.RowFunction):
        return _info(function.name)
    if not isinstance(function, str):
        recipe = _nonlin.recipe(function)
        if recipe is None:
            raise TypeError(f"{function!r} is no function of nonlin")
        return _info(recipe[0])
    return _info(_nonlin.lookup(function)[0])


def catalog() -> tuple[Info, ...]:
    """All functions, sorted by name within each kind.

    Returns
    -------
    tuple of Info

    Examples
    --------
    >>> import nonlin
    >>> "gelu" in [about.name for about in nonlin.catalog()]
    True
    """
    return tuple(_info(name) for names in _nonlin.NAMES.values() for name in names)


def get(name: str, /, **params: Any) -> Any:
    """The function of that name or formula, with these parameters.

    Parameters
    ----------
    name : str
        A name or an alias, in any case and with or without `_` and `-`; or a formula, as `Function`
        takes it.
    **params : float
        Values of parameters; others keep their defaults.

    Returns
    -------
    numpy.ufunc, Function or RowFunction
        The function itself where no parameter is given.

    Raises
    ------
    ValueError
        If there is no function of that name, or a value is out of bounds.
    TypeError
        If the function has no parameter of that name.

    Examples
    --------
    >>> import nonlin
    >>> nonlin.get("swish") == nonlin.silu
    True
    >>> nonlin.get("elu", alpha=0.5)(-1.0).item()
    -0.31606027941427883
    >>> nonlin.get("x**2 / (1 + x**2)")(3.0).item()
    0.9
    >>> nonlin.get("sillu")
    Traceback (most recent call last):
    ...
    ValueError: unknown function `sillu`; did you mean `silu`?
    """
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name of a function; it must be a str")
    name, kind = _nonlin.lookup(name)
    if kind == "formula":
        return _nonlin.Function(name, **params)
    if kind == "rowwise":
        function = _rows.named(name)
        return function.bind(**params) if params else function
    function = _nonlin.FUNCTIONS[name]
    if not params:
        return function
    if isinstance(function, _nonlin.Function):
        return function.bind(**params)
    word = next(iter(params))
    raise TypeError(f"`{name}` has no parameter `{word}`; it has none")


def load(path: Any) -> dict[str, Any]:
    """The functions of a catalogue of your own, a TOML file with a table for each.

    Parameters
    ----------
    path : str or path-like
        Of a file such as::

            [softer]
            formula = "x / (k + abs(x)); k = 1 in (0, 9)"
            source = "where it is from"   # both optional
            notes = "what there is to say about it"

    Returns
    -------
    dict of str to Function
        By name, in the order of the file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no TOML, a table has no formula or an unknown key, a name is that of a function of
        nonlin, or a formula is wrong. Nothing is loaded then.

    Examples
    --------
    >>> import nonlin, pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "mine.toml"
    >>> _ = file.write_text('[softer]\\nformula = "x / (k + abs(x)); k = 1 in (0, 9)"\\n')
    >>> mine = nonlin.load(file)
    >>> mine["softer"](3.0, k=3).item()
    0.5
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    with open(path, "rb") as file:
        try:
            tables = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise ValueError(f"{path}: {e}") from None
    return {name: _loaded(path, name, table) for name, table in tables.items()}


def _loaded(path: Any, name: str, table: Any) -> Any:
    place = f"{path}: [{name}]"
    if not isinstance(table, dict) or not isinstance(table.get("formula"), str):
        raise ValueError(f"{place} needs a formula: `formula = \"x * tanh(x)\"`")
    for key, value in table.items():
        if key not in ("formula", "source", "notes"):
            raise ValueError(f"{place} has a key `{key}`; its keys are formula, source, notes")
        if not isinstance(value, str):
            raise ValueError(f"{place}: `{key}` is {value!r}, which is no text")
    try:
        taken = _nonlin.lookup(name)[0]
    except ValueError:
        taken = None
    if taken is not None:
        raise ValueError(f"{place} is a name of `{taken}`, which nonlin has; choose another name")
    try:
        return _nonlin.Function(table["formula"])
    except ValueError as e:
        raise ValueError(f"{place}: {e}") from None
