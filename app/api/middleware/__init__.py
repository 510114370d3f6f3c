"""Pure ASGI, from the outside in."""
