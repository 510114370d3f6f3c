"""What the server leaves in the scope of a request, beside what ASGI says; light enough for it to import first."""

# That it has bounded the bytes of the head itself.
BOUNDED = "strata.bounded_head"
# That it could not read the request to its end: the status to answer with.
REFUSED = "strata.refused"
# What ends the connection at once, whatever is on its way.
ABORT = "strata.abort"
