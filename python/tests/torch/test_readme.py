"""The README's part on PyTorch runs."""

import re
from pathlib import Path

import nonlin.torch

ROOT = Path(__file__).parents[3]


def test_readme(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = (ROOT / "README.md").read_text().split("\n## PyTorch\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", part, re.S)
    assert len(blocks) >= 2
    scope = {"train": lambda *_, **__: None}  # the reader's own
    try:
        for block in blocks:
            exec(block, scope)
    finally:
        nonlin.torch.disable()
    told = capsys.readouterr().out
    shown = re.findall(r"^# (\d .*)$", part, re.M)
    assert shown and all(line in told for line in shown)
