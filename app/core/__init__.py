"""Infrastructure: no domain, no web."""
