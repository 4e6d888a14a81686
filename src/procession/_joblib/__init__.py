"""What the backend for joblib is made of: how arguments travel, and the pools that are kept."""

from __future__ import annotations
