"""The allocator of blocks held against a reference model, by random work."""
