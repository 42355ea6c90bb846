"""What people see: the observers of a run, and the lake as its own logs describe it."""
