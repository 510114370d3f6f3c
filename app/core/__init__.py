"""Infrastructure that knows nothing of the domain and nothing of the web."""
