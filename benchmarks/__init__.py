"""Procession beside its rivals: `python -m benchmarks`. See README.md for what the numbers mean."""
