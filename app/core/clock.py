"""The wall clock, and a monotonic clock."""

import time
from datetime import UTC, datetime

# Also advances during suspend, unlike CLOCK_MONOTONIC on Linux.
BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def seconds() -> float:
    """Seconds since an arbitrary point in time."""
    return time.monotonic() if BOOT_CLOCK is None else time.clock_gettime(BOOT_CLOCK)


def utc_now() -> datetime:
    return datetime.now(UTC)
