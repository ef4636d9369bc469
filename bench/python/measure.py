#!/usr/bin/env python3
"""Takes all measurements of the Python package and writes docs/python-performance.md from them.

    python bench/python/measure.py [--quick]

Runs each measure_*.py beside this file and document.py, which can also be run alone. With --quick
it takes about a minute, and records nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    quick = sys.argv[1:] == ["--quick"]
    if sys.argv[1:] and not quick:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as directory:
        for part in sorted(HERE.glob("measure_*.py")):
            words = ["--quick", "--record", f"{directory}/{part.stem}.csv"] if quick else []
            subprocess.run([sys.executable, part, *words], check=True)
    if not quick:
        subprocess.run([sys.executable, HERE / "document.py"], check=True)


if __name__ == "__main__":
    main()
