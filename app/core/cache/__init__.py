"""Values kept for a while, in the process or in Redis."""
