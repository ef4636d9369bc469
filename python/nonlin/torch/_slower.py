"""Where operators take longer than those of PyTorch: written by bench/python/document.py."""

SLOWER = {
}
