"""Which rows and which tables are good enough to publish."""
