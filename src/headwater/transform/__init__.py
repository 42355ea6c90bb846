"""The tables: each a PySpark function of other tables, whose parameters are the graph."""
