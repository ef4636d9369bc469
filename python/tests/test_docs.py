"""Docstrings, stubs and README: examples run, nothing is stale."""

import doctest
import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nonlin
from helpers import ELEMENTWISE, GATED, NAMES, ROWWISE

HERE = Path(__file__).parent.parent
ROOT = HERE.parent


def run(text, name):
    test = doctest.DocTestParser().get_doctest(text, {"nonlin": nonlin, "np": np}, name, None, 0)
    assert test.examples, f"{name} has no examples"
    failed, _ = doctest.DocTestRunner().run(test)
    assert failed == 0


@pytest.mark.parametrize("name", ELEMENTWISE + GATED + ROWWISE)
def test_docstrings(name):
    f = getattr(nonlin, name)
    doc = inspect.getdoc(f) if name in ROWWISE else f.__doc__
    for heading in ("Parameters", "Returns", "Notes", "Examples"):
        assert f"\n{heading}\n{'-' * len(heading)}\n" in doc
    assert nonlin.info(name).formula in doc
    lines = doc.splitlines()
    formula = nonlin.info(name).formula
    assert all(len(line) <= 100 or formula in line for line in lines[1:]), max(lines[1:], key=len)
    for p in nonlin.info(name).parameters:
        assert re.search(rf"^{p} : ", doc, re.M)
    run(doc, name)


def test_docstrings_tell_bounds():
    assert "At least 0.000001." in nonlin.celu.__doc__
    assert "Any finite number." in nonlin.elu.__doc__


@pytest.mark.parametrize("name", ELEMENTWISE + GATED)
@pytest.mark.parametrize("operation", ["derivative", "second_derivative", "backward", "backward_from_output"])
def test_docstrings_of_derivatives(name, operation):
    try:
        f = nonlin._nonlin.related(getattr(nonlin, name), operation)
    except ValueError:
        return
    run(f.__doc__, f"{operation} of {name}")


def test_module_examples():
    modules = [m.name for m in pkgutil.iter_modules(nonlin.__path__) if m.name not in ("_nonlin", "torch")]
    count = 0
    for name in ["nonlin", *(f"nonlin.{m}" for m in modules)]:
        failed, tried = doctest.testmod(importlib.import_module(name))
        assert failed == 0
        count += tried
    assert count > 20


def test_signatures():
    assert str(inspect.signature(nonlin.elu)).startswith("(x, /, *, alpha=1.0, out=None, where=True")
    for name in ELEMENTWISE:
        inspect.signature(getattr(nonlin, name))


def test_stub_is_not_stale():
    subprocess.run([sys.executable, HERE / "tools/stub.py", "--check"], check=True)


def test_stubs_are_right(tmp_path):
    """mypy's stubtest, without what needs PyTorch."""
    package = tmp_path / "nonlin"
    shutil.copytree(nonlin.__path__[0], package, ignore=shutil.ignore_patterns("torch", "__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "nonlin", "--allowlist", HERE / "tests/stubtest.txt"],
        cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(tmp_path), "MYPYPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def readme_blocks():
    text = (ROOT / "README.md").read_text()
    part = text.split("\n## From Python\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", part, re.S)


def test_readme():
    """The first block of README's part on Python is NumPy's."""
    code = readme_blocks()[0]
    scope = {}
    exec(code, scope)
    shown = re.findall(r"^(\w+\.\w+\(.*\)) +# (.*)$", code, re.M)
    assert shown
    for call, result in shown:
        assert str(eval(call, scope)) == result


def test_accuracy_document_is_not_stale():
    """docs/python-accuracy.md is what the record gives."""
    script = ROOT / "bench/python/accuracy.py"
    subprocess.run([sys.executable, "-B", script, "--check"], check=True)


def test_performance_document_is_not_stale():
    """docs/python-performance.md, its figures and what `report()` calls slower are what the records
    give."""
    script = ROOT / "bench/python/document.py"
    subprocess.run([sys.executable, "-B", script, "--check"], check=True)


def test_catalog():
    about = nonlin.catalog()
    assert [a.name for a in about] == sum(NAMES.values(), [])
    for a in about:
        assert nonlin.info(a.name) == a == nonlin.info(getattr(nonlin, a.name))
        for alias in a.aliases:
            assert nonlin.info(alias) == a


def test_plot_without_matplotlib():
    code = (
        "import sys; sys.modules['matplotlib'] = None\nimport nonlin\n"
        "try: nonlin.plot('gelu')\n"
        "except ModuleNotFoundError as error: assert 'pip install matplotlib' in str(error)\n"
        "else: sys.exit('it was imported')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    _, ax = pyplot.subplots()
    assert nonlin.plot("relu", nonlin.Elu(alpha=0.5), ax=ax, derivative=True) is ax
    first, _, elu, slope = ax.get_lines()
    np.testing.assert_array_equal(first.get_ydata(), np.maximum(first.get_xdata(), 0))
    np.testing.assert_array_equal(elu.get_ydata(), nonlin.elu(elu.get_xdata(), alpha=0.5))
    assert slope.get_linestyle() == "--"
    with pytest.raises(TypeError, match="is no elementwise function"):
        nonlin.plot("softmax")
    with pytest.raises(TypeError, match="is no elementwise function"):
        nonlin.plot(nonlin.swiglu)
    with pytest.raises(ValueError, match="range is"):
        nonlin.plot("relu", range=(1, 1))
    pyplot.close("all")
