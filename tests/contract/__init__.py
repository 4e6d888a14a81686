"""What a pool promises, the same on every engine: each test here runs on all of them."""
