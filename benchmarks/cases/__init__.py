"""One file per case, in the order of the report."""

from __future__ import annotations

from benchmarks.cases import (
    imap,
    imap_unordered,
    map,
    round_trip,
    round_trip_idle,
    skew,
    submits,
)
from benchmarks.contract import Case

CASES: dict[str, Case] = {
    "round_trip": round_trip.CASE,
    "round_trip_idle": round_trip_idle.CASE,
    "submits": submits.CASE,
    "map": map.CASE,
    "imap": imap.CASE,
    "imap_unordered": imap_unordered.CASE,
    "skew": skew.CASE,
}
