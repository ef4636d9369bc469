"""The pages about training are what their records give."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


@pytest.fixture
def scripts(monkeypatch):
    """The scripts that write the pages can be imported."""
    monkeypatch.syspath_prepend(str(ROOT / "bench" / "python"))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


def test_comparison(scripts):
    """docs/training.md, written by examples/compare.py."""
    import compare

    settings = json.loads((DOCS / "training/settings.json").read_text())
    assert settings == json.loads(json.dumps(compare.SETTINGS))
    runs = compare.read(DOCS / "training/results.csv")
    best = compare.choose(runs, list(settings), settings)
    scores = compare.of_all_seeds(runs, best, 10)
    page = (DOCS / "training.md").read_text()
    command = "python examples/compare.py --out docs/training --page docs/training.md"
    assert "\n".join(compare.page(scores, best, settings, 10, "training.svg", command)) + "\n" == page


def test_speed(scripts):
    """docs/training-speed.md, written by bench/python/training.py."""
    import training

    assert training.document() == (DOCS / "training-speed.md").read_text()


def test_formula_speed(scripts):
    """docs/formula-speed.md, written by bench/python/formulas.py."""
    import formulas

    assert formulas.document() == (DOCS / "formula-speed.md").read_text()
