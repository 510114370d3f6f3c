"""Settings of PostgreSQL as a client asks for them: `options=-c name=value`, durations, and what must stay as it is."""

import re

UNITS = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
UTF8 = {"utf8", "utf-8", "unicode"}
# What else stands beside the settings where a connection begins.
RESERVED = {"user", "database", "replication", "options"}
# Of hosters' proxies, which look at what comes before the colon of a connection: `endpoint=…`, `project=…`.
ROUTE = re.compile(r"[A-Za-z_]\w*=\S*")
SETTING = re.compile(r"([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
NO_OPTIONS = (
    "must be -c name=value, several of them with blanks between, or what a hoster's proxy wants, as endpoint=name"
)


def read_options(text: str) -> tuple[dict[str, str], str]:
    """The settings in it by name, and what is left of it for a proxy on the way.

    Raises:
        ValueError: for options of a server that are no settings, and for settings that Strata needs as they are.
    """
    words = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"(?:\\.|[^\s\\])+", text)]
    settings, routes = {}, []
    while words:
        word = words.pop(0)
        if ROUTE.fullmatch(word):
            routes.append(word)
            continue
        if word == "-c" and words:
            word = "-c" + words.pop(0)
        match = SETTING.fullmatch(word[2:]) if word.startswith(("-c", "--")) else None
        if match is None:
            raise ValueError(NO_OPTIONS)
        name = match[1].replace("-", "_").lower()
        if name in RESERVED or name.startswith("_pq_"):
            raise ValueError(NO_OPTIONS)
        check_setting(name, match[2])
        settings[name] = match[2]
    return settings, " ".join(routes)


def check_setting(name: str, value: str) -> None:
    if name == "client_encoding" and value.strip("'\"").lower() not in UTF8:
        raise ValueError("must leave client_encoding at UTF8")
    if name == "statement_timeout":
        read_seconds(value)
    if not value and name != "search_path":
        raise ValueError("must not be empty")


def read_seconds(value: str) -> float:
    """A duration as PostgreSQL takes it, milliseconds where there is no unit; 0 for none.

    Raises:
        ValueError: if it is none.
    """
    match = re.fullmatch(r"\s*(\d{1,10})\s*(us|ms|s|min|h|d|)\s*", value, re.ASCII)
    if match is None:
        raise ValueError("must be milliseconds, or a number with us, ms, s, min, h or d")
    return int(match[1]) * UNITS[match[2]]
