"""The life of accounts."""
