"""Tests of the engine's parts, without any process."""
