"""One file per rival, named as on the command line. A new file here is a new rival."""
