"""What happens when something goes wrong, and what an idle pool costs.

`python -m benchmarks.incidents` runs it: see ``benchmarks/README.md``.
"""
