"""The examples, and the programs that they are made after."""
