"""What processes share to wait for one another: Python's names for the core's objects."""
