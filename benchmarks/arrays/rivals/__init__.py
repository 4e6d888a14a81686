"""One file per rival: a class `Rival` with the methods of ``benchmarks.arrays.carrier``."""
