"""Named blocks of shared memory, and what becomes of them."""
