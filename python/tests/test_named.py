"""Functions of the catalogue that are formulas: by name, as all others."""

import copy
import pickle

import numpy as np
import pytest

import nonlin
from nonlin import _nonlin
from nonlin._factories import camel

NAMES = _nonlin.NAMES["formula"]
TWO = [name for name in NAMES if _nonlin.facts(name)["kind"] == "gated"]
ONE = [name for name in NAMES if name not in TWO]


def test_there_are_many():
    assert len(ONE) >= 58 and len(TWO) >= 5
    assert {"snake", "softsign", "golu", "relu6", "drelu"} <= set(NAMES)
    listed = {about.name: about for about in nonlin.catalog()}
    assert set(NAMES) <= set(listed)
    assert listed["snake"].source.endswith("arXiv:2006.08195")
    assert not set(NAMES) & set(nonlin.__all__), "a star import takes no `abs`"
    assert set(NAMES) <= set(dir(nonlin))


@pytest.mark.parametrize("name", NAMES)
def test_attributes(name):
    f = getattr(nonlin, name)
    assert f is getattr(nonlin, name) and f.name == name
    assert f == nonlin.get(name) and f == nonlin.Function(name)
    assert pickle.loads(pickle.dumps(f)) == f and copy.deepcopy(f) == f
    made = getattr(nonlin, camel(name))
    assert made() == f
    operands = [np.array([-np.inf, -2.0, 0.5, np.inf, np.nan])] * (2 if name in TWO else 1)
    y = f(*operands)
    assert np.isnan(y[-1])
    if name in ONE:
        text = _nonlin.facts(name)["formula"]
        params = {k: p[0] for k, p in _nonlin.facts(name)["parameters"].items()}
        if params:
            text += "; " + ", ".join(f"{k} = {v!r}" for k, v in params.items())
        # A text may be a function that has kernels of its own: `quick_gelu` is `silu` at a beta.
        np.testing.assert_allclose(y[1:3], nonlin.Function(text)(operands[0])[1:3], rtol=1e-15)


def test_parameters():
    x = np.array([0.5, 2.0])
    np.testing.assert_allclose(nonlin.snake(x, alpha=2), x + np.sin(2 * x) ** 2 / 2, rtol=1e-15)
    np.testing.assert_array_equal(nonlin.hard_tanh(x, max_val=1.5), [0.5, 1.5])
    np.testing.assert_array_equal(nonlin.HardTanh(max_val=1.5)(x), [0.5, 1.5])
    slope = nonlin.vjp(nonlin.soft_shrink, x, np.ones(2), lambd=1.0)
    np.testing.assert_array_equal(slope, [0.0, 1.0])
    with pytest.raises(TypeError, match="alpha"):
        nonlin.snake(x, beta=1)
    with pytest.raises(AttributeError, match="snaek"):
        nonlin.snaek


def test_names_of_frameworks():
    for name, found in [
        ("torch.nn.Softsign", "softsign"),
        ("jax.nn.gelu", "gelu_tanh"),
        ("keras.activations.hard_tanh", "hard_tanh"),
        ("relu2", "squared_relu"),
    ]:
        assert nonlin.info(name).name == found


def test_limits():
    inf = np.array([-np.inf, np.inf], dtype=np.float32)
    np.testing.assert_array_equal(nonlin.softsign(inf), [-1, 1])
    np.testing.assert_array_equal(nonlin.lisht(inf), [np.inf, np.inf])
    np.testing.assert_array_equal(nonlin.derivative(nonlin.lisht)(inf), [-1, 1])
    np.testing.assert_array_equal(nonlin.golu(inf.astype(np.float16)), [0, np.inf])


def test_load(tmp_path):
    file = tmp_path / "mine.toml"

    def load(text):
        file.write_text(text)
        return nonlin.load(file)

    mine = load(
        '[soft]\nformula = "x / (k + abs(x)); k = 1 in (0, 9)"\nsource = "us"\n'
        '[unit]\nformula = "a * tanh(b)"\n'
    )
    assert list(mine) == ["soft", "unit"]
    assert mine["soft"](3.0, k=3) == 0.5 and mine["unit"](2.0, 0.0) == 0
    for text, wrong in [
        ('[soft]\nsource = "us"\n', "formula"),
        ('[soft]\nformula = "x"\nsauce = "us"\n', "sauce"),
        ('[soft]\nformula = "x"\nnotes = 3\n', "notes"),
        ('[soft]\nformula = "x * tnah(x)"\n', "did you mean `tanh`"),
        ('[Swish]\nformula = "x"\n', "silu"),
        ('soft = "x"\n', "soft"),
        ("[soft\n", "mine.toml"),
    ]:
        with pytest.raises(ValueError, match=wrong):
            load(text)
    with pytest.raises(OSError):
        nonlin.load(tmp_path / "other.toml")
