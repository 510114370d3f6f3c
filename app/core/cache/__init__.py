"""The cache, in the process or on Redis."""
