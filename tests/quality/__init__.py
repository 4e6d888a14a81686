"""Tests of the house itself: structure, rules, and the tests' own tools."""
