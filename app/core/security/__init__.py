"""Tokens, keys, passwords and names."""
