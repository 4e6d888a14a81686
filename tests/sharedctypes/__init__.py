"""Values and arrays of C types in shared memory, and the heap they lie in."""
