"""Tests of the benchmarks and of the demo: that they tell the truth, not how fast anything is."""
