"""Tests of the pool, by what it promises: results, errors, deaths, interrupts, the end."""
