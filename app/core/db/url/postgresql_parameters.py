"""The parameters that a PostgreSQL URL may have, their aliases, and messages for all others."""

import re
from collections.abc import Callable, Mapping

from app.core.db.url.parameter_hints import HINTS
from app.core.db.url.postgresql_options import UTF8, check_setting, read_options, read_seconds

type Check = Callable[[str], str]

ZERO, TRUE, FALSE = {"0"}, {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
ENCRYPTED = SSLMODES[3:]
TLS_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def one_of(*values: str) -> Check:
    def check(value: str) -> str:
        if value not in values:
            raise ValueError(f"must be {', '.join(values[:-1])} or {values[-1]}")
        return value

    return check


def text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def boolean(value: str) -> str:
    if value.lower() not in TRUE | FALSE:
        raise ValueError("must be true or false")
    return "true" if value.lower() in TRUE else "false"


def count(value: str) -> str:
    if not re.fullmatch(r"0*[1-9]\d{0,4}", value, re.ASCII):
        raise ValueError("must be a number, 1 or more")
    return value


def seconds(value: str) -> str:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value, re.ASCII) or float(value) <= 0:
        raise ValueError("must be seconds, more than 0")
    return value


def sslmode(value: str) -> str:
    """`ssl=true` is `require` for libpq too; `no-verify` is what Node's driver calls that."""
    modes = dict.fromkeys((*TRUE, "no-verify"), "require") | dict.fromkeys(FALSE, "disable")
    return one_of(*SSLMODES)(modes.get(value, value))


def options(value: str) -> str:
    read_options(value)
    return value


def setting(name: str) -> Check:
    def check(value: str) -> str:
        check_setting(name, value)
        return value

    return check


def duration(value: str) -> str:
    read_seconds(value)
    return value


# Understood: for the driver, for the server, and for settings of ours (`settings_of_url`).
PARAMETERS: dict[str, Check] = {
    **dict.fromkeys(("host", "port", "user", "password", "dbname"), str),
    "sslmode": sslmode,
    **dict.fromkeys((*TLS_FILES, "passfile", "krbsrvname", "sslpassword"), text),
    "sslnegotiation": one_of("postgres", "direct"),
    "ssl_min_protocol_version": one_of("TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": one_of("TLSv1.2", "TLSv1.3"),
    "channel_binding": one_of("disable", "prefer", "require"),
    "gsslib": one_of("gssapi", "sspi"),
    "connect_timeout": seconds,
    "target_session_attrs": one_of("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    **dict.fromkeys(("application_name", "fallback_application_name", "schema"), text),
    "options": options,
    "statement_timeout": duration,
    **{
        name: setting(name)
        for name in (
            "search_path", "role", "timezone", "lock_timeout", "idle_in_transaction_session_timeout",
            "idle_session_timeout", "transaction_timeout", "default_transaction_isolation",
            "default_transaction_read_only",
        )
    },
    "pgbouncer": boolean,
    "connection_limit": count,
    "pool_timeout": seconds,
}  # fmt: skip
ALIASES = {
    "ssl": "sslmode",
    "database": "dbname",
    "currentschema": "search_path",
    "applicationname": "application_name",
}
# A driver that is told not to prepare statements is told that there is a pooler of transactions.
UNPREPARED = {
    **dict.fromkeys(("prepared_statements", "prepare"), FALSE),
    **dict.fromkeys(("preparethreshold", "statement_cache_size", "prepared_statement_cache_size"), ZERO),
    "default_query_exec_mode": {"exec", "simple_protocol"},
    "binary_parameters": TRUE,
}
# What asks for nothing but what is so anyway, by the values that do; None for any.
GRANTED: dict[str, set[str] | None] = {
    "client_encoding": {*UTF8, "auto"},
    "encoding": UTF8,
    "charset": UTF8,
    "gssencmode": {"disable", "prefer"},
    "gssdelegation": FALSE,
    "sslcompression": FALSE,
    "sslsni": TRUE,
    "sslcertmode": {"allow"},
    "load_balance_hosts": {"disable"},
    # Which `keep_alive` sets for every connection, to what finds out soon enough.
    "keepalives": TRUE,
    **dict.fromkeys(("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"), None),
    **dict.fromkeys(("serverversion", "server_version", "supa", "workaround"), None),
    **dict.fromkeys(UNPREPARED, None),
}


UNKNOWN = (
    "is not known; docs/configuration.md lists all that are. "
    "Was it a ? or & in the password? Write ? as %3F there, and & as %26"
)


class UnknownParameterError(ValueError):
    """Its text is the name."""


def read_parameters(given: Mapping[str, str], default_sslmode: str | None = None) -> dict[str, str]:
    """Those that mean something to Strata, in libpq's spelling and with values that fit.

    Raises:
        ValueError: naming the parameter that is unknown, cannot be had, or has a value that it may not have.
    """
    read: dict[str, str] = {}
    try:
        for name, value in given.items():
            read |= read_parameter(name.lower(), value)
    except UnknownParameterError as error:
        raise ValueError(f"{name_to_tell(str(error), given)} {UNKNOWN}") from None
    if "schema" in read:
        read.setdefault("search_path", quoted(read.pop("schema")))
    asked, _ = read_options(read.get("options", ""))
    if "statement_timeout" in asked:
        read.setdefault("statement_timeout", asked["statement_timeout"])
    if default_sslmode is not None:
        read.setdefault("sslmode", default_sslmode)
    return with_consistent_tls(read)


def name_to_tell(name: str, given: Mapping[str, str]) -> str:
    """With an @ after it, it may be a part of a password with a `?` in it, and no name."""
    others = [value for other, value in given.items() if other not in {"user", "password", "dbname"}]
    is_secret = any("@" in value for value in others) or name in given.get("password", "").lower()
    return "has a parameter that" if is_secret else name


def read_parameter(name: str, value: str) -> dict[str, str]:
    name = ALIASES.get(name, name)
    if (check := PARAMETERS.get(name)) is not None:
        try:
            return {name: check(value)}
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    if value.lower() in UNPREPARED.get(name, ()):
        return {"pgbouncer": "true"}
    if name in GRANTED and ((values := GRANTED[name]) is None or value.lower() in values):
        return {}
    if name in HINTS:
        raise ValueError(f"{name} {HINTS[name]}")
    raise UnknownParameterError(name)


def quoted(name: str) -> str:
    """An identifier as SQL takes it, which `search_path` is made of."""
    return '"' + name.replace('"', '""') + '"'


def with_consistent_tls(read: dict[str, str]) -> dict[str, str]:
    """What would look like a check and be none is refused."""
    # The driver has none. It is to tell who is on the other end, as the certificate does.
    if read.pop("channel_binding", None) == "require":
        if read.get("sslmode") == "disable":
            raise ValueError("channel_binding=require needs TLS, and sslmode is disable")
        read["sslmode"] = "verify-full"
    if read.get("sslrootcert") == "system" and read.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError("sslrootcert=system needs sslmode=verify-full")
    for name in verified_by(read):
        raise ValueError(f"{name} needs sslmode=verify-full, verify-ca or require: without, it would change nothing")
    if "sslcert" in read and read.get("sslmode") == "disable":
        raise ValueError("sslcert needs TLS, and sslmode is disable")
    if ("sslkey" in read or "sslpassword" in read) and "sslcert" not in read:
        raise ValueError("sslkey and sslpassword need sslcert, the certificate that they are for")
    return read


def verified_by(read: dict[str, str]) -> list[str]:
    """What is there to make a connection safe, where the mode lets any be made."""
    if read.get("sslmode") in ENCRYPTED:
        return []
    is_direct = read.get("sslnegotiation") == "direct"
    return [name for name in ("sslrootcert", "sslcrl") if name in read] + ["sslnegotiation=direct"] * is_direct
