"""What REDIS_URL and REDIS_PREFIX may say; light enough for the settings to import. Talking to Redis is in redis.py."""

from re import fullmatch
from urllib.parse import urlsplit

REDIS_SCHEMES = ("redis", "rediss", "unix")


def check_redis_url(text: str) -> None:
    """Raises ValueError, saying what it must be, without what it is."""
    if not is_redis_url(text):
        raise ValueError("must be like redis://:password@host:6379/0, rediss:// for TLS, or unix:///path")
    from redis.asyncio import ConnectionPool  # noqa: PLC0415 - its library costs those who use none 10 MB

    try:
        ConnectionPool.from_url(text).make_connection()  # type: ignore[no-untyped-call] # redis has no types here
    except (TypeError, ValueError):
        raise ValueError("has an option after the ? that the connection to Redis does not know") from None


def is_redis_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        is_address = url.scheme in REDIS_SCHEMES and bool(url.port or url.netloc or url.path)
    except ValueError:  # of a port that is no number
        return False
    # What is no number the library takes for database 0, which may be another program's.
    return is_address and (url.scheme == "unix" or fullmatch(r"/?\d*", url.path) is not None)


def check_prefix(text: str) -> str:
    if not fullmatch(r"[\w.:-]{1,100}", text):
        raise ValueError("must be 1 to 100 letters, digits and `_ . : -`")
    return text
