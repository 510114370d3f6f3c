"""Use cases of items."""
