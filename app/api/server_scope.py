"""Scope keys set by the server in addition to ASGI's; a light module, since the server imports it first."""

# The server has bounded the size of the head itself.
BOUNDED = "strata.bounded_head"
# The server could not read the whole request: the status of the error response.
REFUSED = "strata.refused"
# Aborts the connection at once.
ABORT = "strata.abort"
