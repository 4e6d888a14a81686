"""Large data where memory or places to write are scarce, or 3 GiB at a time; what workers cost."""
