"""The list of common passwords."""

import sys
from functools import cache
from threading import Lock

MIN_LENGTH = 8
loading = Lock()


def common_passwords() -> frozenset[str]:
    """See `load`. The lock keeps concurrent threads from loading the lists several times."""
    with loading:
        return load()


@cache
def load() -> frozenset[str]:
    """About ten thousand of the most common passwords of at least eight characters, in lower case.

    Source: the list that zxcvbn ranks passwords by. Its module holds several lists of 13 MB in all, so it is
    loaded when the first password is set and dropped at once.
    """
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - see above

    passwords = frozenset(word.lower() for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_LENGTH)
    sys.modules.pop("zxcvbn.frequency_lists", None)
    return passwords
