"""Sessions that are known to have ended, so that their tokens no longer count towards their users' limits."""

MAX_ENTRIES = 10_000


class EndedSessions:
    """Keys of sessions, the oldest first.

    A session that has ended does not come back, so no entry gets wrong; one that was forgotten costs its user a
    single request.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self.max_entries = max_entries
        self.known: dict[str, None] = {}

    def add(self, *keys: str) -> None:
        self.known |= dict.fromkeys(keys)
        while len(self.known) > self.max_entries:
            del self.known[next(iter(self.known))]
