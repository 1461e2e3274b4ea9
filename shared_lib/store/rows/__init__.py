"""Rows and the values they stand for: columns, how to read them, how to lock them. No behaviour."""
