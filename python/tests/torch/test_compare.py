"""The comparison of activations: its statistics, its pairs, and the record that it goes on from."""

from pathlib import Path

import numpy as np
import pytest
import torch

import nonlin.init

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def compare(monkeypatch):
    """The module of the comparison."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import compare

    return compare


def test_exact_p(compare):
    """Of all flips of signs, the share with a mean at least as far from 0."""
    assert compare.sign_flips(np.array([1.0, 2.0, 3.0, 4.0])) == 2 / 16
    assert compare.sign_flips(np.array([-1.0, -2.0, -3.0, -4.0])) == 2 / 16
    assert compare.sign_flips(np.array([3.0, 1.0, -1.0])) == 6 / 8
    assert compare.sign_flips(np.zeros(3)) == 1


def test_holm(compare):
    """The smallest p times how many there are, the next times one fewer; never below one before."""
    assert compare.holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert compare.holm([0.6, 0.7]) == [1, 1]


def test_interval(compare):
    """That of a mean of 500 normal numbers is 1.96 standard errors to both sides."""
    values = np.random.default_rng(1).normal(3, 2, 500)
    error = values.std() / 500**0.5
    wanted = values.mean() - 1.96 * error, values.mean() + 1.96 * error
    assert compare.interval(values) == pytest.approx(wanted, abs=0.1 * error)


def test_verdicts(compare):
    """A claim is shown, refuted, or not decided."""
    scores = {(c.task, name): np.zeros(12) for c in compare.CLAIMS for name in (c.better, c.worse)}
    scores["deep", "sigmoid"] = np.arange(12) - 20.0
    scores["image", "sine"] = np.arange(12) - 20.0
    verdicts = {(f.claim.better, f.claim.worse): f.verdict for f in compare.findings(scores)}
    assert verdicts.pop(("relu", "sigmoid")) == "shown"
    assert verdicts.pop(("sine", "relu")) == "refuted"
    assert set(verdicts.values()) == {"not decided"}


def test_activations_of_a_seed_have_equal_weights(compare):
    """They differ by the gain alone; the first layer's not at all."""

    def weights(name):
        torch.manual_seed(3)
        linear = [m for m in compare.network([8, 16, 16, 4], name) if isinstance(m, torch.nn.Linear)]
        gain = nonlin.init.gain(name.partition(",")[0])
        return [m.weight / (gain if m is not linear[0] else 1) for m in linear]

    for name in ("elu", "prelu", "relu, batch norm"):
        torch.testing.assert_close(weights(name), weights("relu"))


@pytest.mark.parametrize("task, name", [("shallow", "mish"), ("deep", "relu, batch norm"), ("image", "sine")])
def test_runs_repeat(compare, task, name):
    """A run depends on what it is called by alone."""
    settings = {**compare.SETTINGS[task], "steps": 2, "layers": 3}
    threads = torch.get_num_threads()
    first, again, other = (
        compare.perform((compare.Run(task, name, 0.01, seed), settings)) for seed in (0, 0, 1)
    )
    torch.set_num_threads(threads)
    assert first == again and first.loss != other.loss
    assert first.key == (task, name, 0.01, 0) and first.score > 0


def test_it_goes_on(compare, tmp_path, monkeypatch):
    """What has finished is not made again; what was cut short is. The record is in one order."""
    made = []

    class Pool:
        """Processes that only say what they were given."""

        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def imap_unordered(self, _, work):
            for run, _ in work:
                made.append(run.key)
                yield compare.Run(*run.key, 1.5, 2.5, run.seed + 0.1)

    monkeypatch.setattr(compare.multiprocessing, "get_context", lambda _: type("", (), {"Pool": Pool}))
    runs = [compare.Run("shallow", name, 0.01, seed) for name in ("relu", "elu") for seed in (0, 1)]
    path = tmp_path / "results.csv"
    whole = compare.perform_all(runs, compare.SETTINGS, path, 1, "runs")
    text = path.read_text()
    head, first, second, third, _ = text.splitlines(keepends=True)
    assert len(made) == 4 and compare.read(path) == whole
    made.clear()
    path.write_text("".join([head, third, first, second[:-1]]))
    assert compare.perform_all(runs, compare.SETTINGS, path, 1, "runs") == whole
    assert made == [runs[1].key, runs[3].key]
    assert path.read_text() == text
