"""Gold: one file a table, computed from Silver."""
