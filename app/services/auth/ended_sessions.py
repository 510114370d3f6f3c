"""Keys of ended sessions, whose tokens no longer count towards their user's rate limit."""

MAX_ENTRIES = 10_000


class EndedSessions:
    """Session keys, the oldest first.

    A session never comes back, so entries never become wrong; a missing one costs its user one counted request.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self.max_entries = max_entries
        self.known: dict[str, None] = {}

    def add(self, *keys: str) -> None:
        self.known |= dict.fromkeys(keys)
        while len(self.known) > self.max_entries:
            del self.known[next(iter(self.known))]
