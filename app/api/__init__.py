"""HTTP: parse, authorize, call one thing, respond."""
