"""Tests of a worker: what it does with what it claims, and what it leaves behind."""
