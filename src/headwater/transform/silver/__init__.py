"""Silver: one file a table, one row for every row version that landed; the contract says which version wins."""
