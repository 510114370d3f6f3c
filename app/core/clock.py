"""How long ago things were, whatever happens to the time of day."""

import time

# Also counts while the machine sleeps, which the monotonic clock of Linux does not.
BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def seconds() -> float:
    """Seconds since some moment."""
    return time.monotonic() if BOOT_CLOCK is None else time.clock_gettime(BOOT_CLOCK)
