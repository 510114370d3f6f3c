"""How much of something there may be at once, or in a time."""
