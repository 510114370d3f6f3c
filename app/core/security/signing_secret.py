"""Validation of HS256 secrets."""

MIN_SECRET_BYTES = 32
MIN_SECRET_VARIETY = 10
# Markers of PEM and SSH keys; python-jose refuses to sign with such text.
KEY_MARKS = ("-BEGIN ", "- BEGIN ", "ssh-", "ecdsa-sha2-")
PLACEHOLDERS = ("changeme", "change-me", "change_me", "secret", "password", "example", "insecure", "default")


def check_secret(secret: str) -> None:
    """Raises ValueError for a secret that is too short, or a key of another kind."""
    if any(mark in secret for mark in KEY_MARKS) or secret.endswith(".pem"):
        raise ValueError("is a key or the path of one, which HS256 cannot use; set JWT_ALGORITHM to RS256 or ES256")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes; try `openssl rand -base64 48`")


def is_guessable(secret: str) -> bool:
    """Whether a secret looks typed rather than random."""
    lowered = secret.lower()
    return len(set(secret)) < MIN_SECRET_VARIETY or any(word in lowered for word in PLACEHOLDERS)
