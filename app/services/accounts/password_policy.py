"""The password policy beyond length."""

from anyio.to_thread import run_sync

from app.core.config.settings import Settings
from app.core.errors import UnprocessableError
from app.core.security.common_passwords import common_passwords
from app.core.security.opaque_string import opaque_string


class WeakPasswordError(UnprocessableError):
    code = "weak_password"


async def check_password(password: str, settings: Settings, *, username: str, email: str) -> None:
    """Reject passwords that attackers try first (NIST SP 800-63B section 5.1.1.2) or that the settings forbid.

    Raises:
        WeakPasswordError: names the violated rule, never the password.
    """
    password = opaque_string(password)
    lowered = password.casefold()
    if lowered in {username.casefold(), email.casefold(), email.casefold().partition("@")[0]}:
        raise WeakPasswordError("The password must not be the name or the address.")
    if lowered in await run_sync(common_passwords):
        raise WeakPasswordError("This is one of the most common passwords; choose another.")
    missing = [name for name, is_there in required_kinds(password, settings).items() if not is_there]
    if missing:
        raise WeakPasswordError(f"The password must contain {', '.join(missing)}.")


def required_kinds(password: str, settings: Settings) -> dict[str, bool]:
    """The character classes that the settings require, and whether the password has each."""
    kinds = {
        "a lower-case letter": (settings.password_require_lower, str.islower),
        "an upper-case letter": (settings.password_require_upper, str.isupper),
        "a digit": (settings.password_require_digit, str.isdigit),
        "a symbol": (settings.password_require_symbol, lambda character: not character.isalnum()),
    }
    return {name: any(map(has, password)) for name, (is_required, has) in kinds.items() if is_required}
