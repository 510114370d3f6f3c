"""The two forms in which libpq takes a connection, as text and as SQLAlchemy's URL.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

import re
from collections.abc import Iterator
from ipaddress import IPv6Address
from urllib.parse import parse_qsl, unquote

from sqlalchemy.engine import URL

from app.core.db.url.postgresql_parameters import read_parameters

NO_URL = (
    "is not a database URL such as postgresql://user:password@host:5432/name; "
    "in user and password write % as %25, @ as %40, / as %2F, ? as %3F, # as %23, : as %3A"
)
# What may stand behind user and password. Nothing of it has an @ but the values of the query.
PORT = r"(?::\d*)?"
HOST = rf"(?:\[[0-9A-Fa-f:.]+(?:%[\w.~-]+)?\]|[\w.~%-]*){PORT}"
NAME = r"[A-Za-z_][\w.-]*"
REST = re.compile(
    rf"(?P<hosts>{HOST}(?:,{HOST})*)(?:/(?P<database>[^@?#]*))?(?:\?(?P<query>(?:{NAME}=[^&]*(?:&+{NAME}=[^&]*)*)?&*))?"
)
PAIR = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)", re.DOTALL)
COCKROACH = ".cockroachlabs.cloud"


def parse_postgresql_url(text: str) -> dict[str, str]:
    """The parameters of what stands behind `postgresql://`.

    User and password end at the first @ with something proper behind it, so that a password may have
    `@ / ? # %` as they are, as many people paste it, where that has one meaning only.
    """
    userinfo, rest = split_userinfo(text)
    try:
        query = parse_qsl(rest["query"] or "", keep_blank_values=True, errors="strict")
        user, _, password = userinfo.partition(":")
        named = {"user": user, "password": password, "dbname": rest["database"] or ""}
        named = {name: unquote(value, errors="strict") for name, value in named.items()}
        hosts, ports = zip(*(split_host(host) for host in rest["hosts"].split(",")), strict=True)
    except UnicodeDecodeError:
        raise ValueError("must be in UTF-8, where it is escaped with % too") from None
    named |= {"host": ",".join(hosts), "port": ",".join(ports) if any(ports) else ""}
    return {name: value for name, value in named.items() if value} | without_contradictions(query)


def without_contradictions(query: list[tuple[str, str]]) -> dict[str, str]:
    parameters = dict(query)
    if any(parameters[name] != value for name, value in query):
        raise ValueError("has a parameter twice; several hosts are written host=a,b&port=5432,5432")
    return parameters


def split_userinfo(text: str) -> tuple[str, re.Match[str]]:
    starts = [0, *(match.end() for match in re.finditer("@", text))]
    for start in starts:
        if (rest := REST.fullmatch(text, start)) is not None:
            return text[: max(start - 1, 0)], rest
    raise ValueError(NO_URL)


def split_host(text: str) -> tuple[str, str]:
    host, _, port = text.rpartition(":") if re.search(r":\d*$", text) else (text, "", "")
    if host.startswith("["):
        return host[1:-1].replace("%25", "%"), port
    return unquote(host, errors="strict"), port


def parse_conninfo(text: str) -> dict[str, str]:
    """The parameters of `host=localhost dbname='my shop'`."""
    parameters, at = {}, 0
    text = text.strip()
    while at < len(text):
        if (pair := PAIR.match(text, at)) is None:
            raise ValueError("is no list of name=value; write values with blanks in '…', and \\' for a quote in them")
        value = pair[2][1:-1] if pair[2].startswith("'") else pair[2]
        parameters[pair[1]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        at = pair.end()
    return parameters


def postgresql_url(drivername: str, parameters: dict[str, str], sslmode: str | None = None) -> URL:
    """SQLAlchemy's form: several hosts and sockets stand in the query, beside the other parameters in libpq's spelling.

    Raises:
        ValueError: naming the parameter that is unknown or wrong, without its value.
    """
    read = read_parameters(parameters, sslmode)
    if any("\0" in value or not is_text(value) for value in read.values()):
        raise ValueError("must be text without NUL")
    user, password, database = (read.pop(name, None) or None for name in ("user", "password", "dbname"))
    if password and not user:
        raise ValueError("has a password, and no user whose it is")
    addresses = list(read_addresses(read.pop("host", ""), read.pop("port", "")))
    if len(addresses) == 1 and not addresses[0][0].startswith("/"):
        (host, port), query = addresses[0], read
    else:
        host, port, query = "", None, read | query_of(addresses)
    return URL.create(drivername, user, password, host or None, port, database, query=query)


def is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def query_of(addresses: list[tuple[str, int | None]]) -> dict[str, str]:
    query = {"host": ",".join(host for host, _ in addresses)}
    if any(port is not None for _, port in addresses):
        query["port"] = ",".join(str(port or 5432) for _, port in addresses)
    return query


def read_addresses(hosts: str, ports: str) -> Iterator[tuple[str, int | None]]:
    """Each host with its port; one port alone is for all of them."""
    names, numbers = hosts.split(","), ports.split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    if len(numbers) != len(names):
        raise ValueError("must have one port, or one for each host")
    for name, number in zip(names, numbers, strict=True):
        if len(names) > 1 and not name:
            raise ValueError("has a host without a name")
        check_host(name)
        if number and not (re.fullmatch(r"[0-9]{1,5}", number) and 0 < int(number) < 65536):
            raise ValueError("the port must be a number from 1 to 65535")
        yield name, int(number) if number else None


def check_host(name: str) -> None:
    if name.startswith("/") or not name:
        return
    if name.endswith(COCKROACH):
        raise ValueError("is of CockroachDB, which lacks what Strata needs: use PostgreSQL")
    if not (re.fullmatch(r"[\w.-]+", name) and is_host_name(name)) and not is_ipv6(name):
        raise ValueError("the host must be a name, an address, or the folder of a socket, which begins with /")


def is_host_name(name: str) -> bool:
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True


def is_ipv6(name: str) -> bool:
    try:
        IPv6Address(name)
    except ValueError:
        return False
    return True
