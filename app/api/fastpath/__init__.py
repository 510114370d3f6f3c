"""The fast path, which can be removed without changing a response."""
