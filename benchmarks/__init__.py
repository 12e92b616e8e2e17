"""Whole-process figures, each a ratio measured in one run: `python -m benchmarks [NAME…]`."""
