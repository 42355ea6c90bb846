"""Headwater: six sources of a commerce business to Bronze, Silver and Gold, in PySpark on Delta Lake."""
