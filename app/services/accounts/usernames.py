"""Reserved usernames, which only administrators can assign."""

import unicodedata

from app.core.errors import UnprocessableError
from app.models.user import identity_key

# Some are mailbox names of RFC 2142.
NAMES = """
    abuse admin administrator administrators admins anonymous billing daemon help helpdesk hostmaster info legal
    mailerdaemon moderator moderators noc noreply official postmaster privacy root security staff strata superuser
    support sysadmin sysop system webmaster
"""
RESERVED = frozenset(NAMES.split())
# Ignored in the comparison: punctuation, and the missing dot of i.
OVERLOOKED = str.maketrans({"_": None, ".": None, "-": None, "\u0131": "i"})


class UsernameReservedError(UnprocessableError):
    code = "username_reserved"
    detail = "This name is reserved for those who run the service; choose another."


def refuse_reserved(username: str) -> None:
    """Raises UsernameReservedError, ignoring case, accents and punctuation."""
    letters = unicodedata.normalize("NFKD", identity_key(username))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    if plain.translate(OVERLOOKED) in RESERVED:
        raise UsernameReservedError
