"""A PostgreSQL URL as arguments of `asyncpg.connect`, and whether the files that it names are there."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.engine import URL

from app.core.db.url.postgresql_options import read_options
from app.core.db.url.postgresql_parameters import TLS_FILES

# asyncpg reads these of a DSN alone, and has no arguments for them.
DSN_ONLY = (
    *TLS_FILES,
    "sslmode",
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
ARGUMENTS = ("target_session_attrs", "krbsrvname", "gsslib", "passfile")
SETTINGS_OF_OURS = {"pgbouncer", "connection_limit", "pool_timeout"}
NOT_FOR_THE_SERVER = {
    *DSN_ONLY, *ARGUMENTS, *SETTINGS_OF_OURS,
    "host", "port", "connect_timeout", "options", "fallback_application_name",
}  # fmt: skip


def driver_arguments(url: URL) -> dict[str, Any]:
    """What the parameters of a URL of `parse_database_url` mean to asyncpg; the rest of it are arguments as it is."""
    query = {name: str(value) for name, value in url.query.items()}
    arguments: dict[str, Any] = {name: query[name] for name in ARGUMENTS if name in query}
    if "host" in query:
        arguments["host"] = query["host"].split(",") if query["host"] else None
    if "port" in query:
        arguments["port"] = [int(port) for port in query["port"].split(",")]
    if "connect_timeout" in query:
        arguments["timeout"] = float(query["connect_timeout"])
    return arguments | tls_arguments(query) | {"server_settings": server_settings(query)}


def server_settings(query: dict[str, str]) -> dict[str, str]:
    """Settings of the session; a parameter wins over `options`, as it does in PostgreSQL."""
    settings, routes = read_options(query.get("options", ""))
    if name := query.get("fallback_application_name"):
        settings.setdefault("application_name", name)
    if routes:
        settings["options"] = routes
    settings.pop("client_encoding", None)  # which the driver sends itself
    settings.pop("statement_timeout", None)  # which has become a parameter
    return settings | {name: value for name, value in query.items() if name not in NOT_FOR_THE_SERVER}


def tls_arguments(query: dict[str, str]) -> dict[str, Any]:
    if uses_system_certificates(query):
        return {"ssl": system_context(query), "direct_tls": query.get("sslnegotiation") == "direct"}
    named = {name: query[name] for name in DSN_ONLY if name in query}
    # Without a host, a user and a database, which are arguments.
    return {"dsn": f"postgresql:?{urlencode(named)}"} if named else {}


def uses_system_certificates(query: dict[str, str]) -> bool:
    """Where nobody names a certificate, `verify-full` trusts whom the system trusts, instead of nobody."""
    if query.get("sslmode") != "verify-full":
        return False
    named = query.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    return named == "system" or (named is None and not root_certificate().exists())


def root_certificate() -> Path:
    """Where libpq and asyncpg look for it."""
    return Path(os.path.expanduser("~/.postgresql/root.crt"))  # noqa: PTH111 - the other raises where there is no home


def system_context(query: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    for bound, name in (
        ("minimum_version", "ssl_min_protocol_version"),
        ("maximum_version", "ssl_max_protocol_version"),
    ):
        if name in query:
            setattr(context, bound, ssl.TLSVersion[query[name].replace(".", "_")])
    if "sslcrl" in query:
        context.load_verify_locations(cafile=query["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in query:
        load_own_certificate(context, query)
    return context


def load_own_certificate(context: ssl.SSLContext, query: dict[str, str]) -> None:
    # Never asked for on the terminal.
    context.load_cert_chain(query["sslcert"], query.get("sslkey"), password=lambda: query.get("sslpassword", ""))


def check_files(url: URL) -> None:
    """Raises ValueError, naming the parameter, where a file cannot be used: it would be told much later otherwise."""
    query = {name: str(value) for name, value in url.query.items()}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("sslrootcert", "sslcrl"):
        if query.get(name, "system") != "system":
            check_file(name, lambda path: context.load_verify_locations(cafile=path), query[name])
    if "sslcert" in query:
        check_file("sslcert, sslkey:", lambda _: load_own_certificate(context, query), query["sslcert"])
    has_root = "sslrootcert" in query or "PGSSLROOTCERT" in os.environ or root_certificate().exists()
    if query.get("sslmode") == "verify-ca" and not has_root:
        raise ValueError("sslmode=verify-ca needs sslrootcert, the path of the certificate to trust")
    if "passfile" in query and not is_private(Path(query["passfile"])):
        raise ValueError("passfile must be the path of a file that this process alone can read (chmod 600)")


def check_file(name: str, read: Callable[[str], object], path: str) -> None:
    try:
        read(path)
    except (OSError, ValueError):
        raise ValueError(f"{name} must be the path of a file in PEM that this process can read") from None


def is_private(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK) and not path.stat().st_mode & 0o077
