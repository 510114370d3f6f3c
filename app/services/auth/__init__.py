"""Signing in, staying signed in, and who is asking."""
