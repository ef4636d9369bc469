"""A callable for each function that makes it with other parameters: `nonlin.Elu(alpha=0.5)`."""

from nonlin import _catalog


def camel(name):
    """`leaky_relu` as `LeakyRelu`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def factory(name):
    """The callable for the function of that name."""

    def make(**params):
        return _catalog.get(name, **params)

    make.__name__ = make.__qualname__ = camel(name)
    make.__module__ = "nonlin"
    make.__doc__ = f"`nonlin.{name}` with other parameters; `nonlin.{name}` itself if none are given."
    return make
