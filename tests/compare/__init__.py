"""Serial, threads or processes: what is measured, and what is concluded from it."""
