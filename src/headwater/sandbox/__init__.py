"""Local stand-ins of the six sources, with a clock of their own."""
