"""Where the numbers end that both databases and the wire have in common."""

# PostgreSQL's INTEGER; SQLite's goes on.
MAX_INT32 = 2**31 - 1
