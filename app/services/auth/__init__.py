"""Sign-in, sessions, tokens and the identity of the caller."""
