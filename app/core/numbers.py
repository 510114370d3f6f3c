"""Bounds of integers that both databases and the wire can represent."""

# PostgreSQL's INTEGER; SQLite's goes on.
MAX_INT32 = 2**31 - 1
