"""What REDIS_URL may say; light enough for the settings to import. Talking to Redis is in redis.py."""

from urllib.parse import urlsplit

REDIS_SCHEMES = ("redis", "rediss", "unix")


def check_redis_url(text: str) -> None:
    """Raises ValueError, saying what it must be, without what it is."""
    if not is_redis_url(text):
        raise ValueError("must be like redis://:password@host:6379/0, rediss:// for TLS, or unix:///path")


def is_redis_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in REDIS_SCHEMES and bool(url.port or url.netloc or url.path)
    except ValueError:  # of a port that is no number
        return False
