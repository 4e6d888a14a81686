"""What holds for every start method is written once, and runs on each of the three."""
