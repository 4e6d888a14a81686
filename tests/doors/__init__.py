"""What is public beside pools and processes: contexts, and what the standard library lends."""
