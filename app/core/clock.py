"""The time of day, and a clock that nobody sets."""

import time
from datetime import UTC, datetime

# Also counts while the machine sleeps, which the monotonic clock of Linux does not.
BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def seconds() -> float:
    """Seconds since some moment."""
    return time.monotonic() if BOOT_CLOCK is None else time.clock_gettime(BOOT_CLOCK)


def utc_now() -> datetime:
    return datetime.now(UTC)
