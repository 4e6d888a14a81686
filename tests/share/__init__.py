"""share(): one copy, then references, for as long as somebody looks."""
