"""The list of common passwords."""

from functools import cache

MIN_LENGTH = 8


@cache
def common_passwords() -> frozenset[str]:
    """Some ten thousand of the most used passwords of at least eight characters, in lower case.

    Source: the list that zxcvbn ranks passwords by. The library takes 13 MiB, so it is loaded when the first password
    is set.
    """
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - see above

    return frozenset(word.lower() for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_LENGTH)
