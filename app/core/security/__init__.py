"""Tokens, keys, passwords, usernames and addresses."""
