"""HTTP: parse, authorise, call one thing, answer."""
