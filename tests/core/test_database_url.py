"""DATABASE_URL as hosters, libpq and other programs write it, and what the driver makes of it."""

import re
from inspect import signature
from typing import Any

import asyncpg
import pytest
from asyncpg import connect_utils
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from app.core.db.engine import create_engine
from app.core.db.postgresql import asyncpg_arguments
from app.core.db.url.database_url import parse_database_url, shown_url
from app.core.db.url.driver_arguments import check_files
from app.core.db.url.postgresql_parameters import ALIASES, PARAMETERS, UNPREPARED

SECRET = "hunter2-Zq8"


def read(text: str) -> str:
    return parse_database_url(text).render_as_string(hide_password=False).removeprefix("postgresql+asyncpg://")


def accepted(url: URL, **changes: object) -> Any:
    """What asyncpg makes of the arguments that it gets: addresses and parameters."""
    settings = Settings.model_validate({"database_url": "postgresql://h/d"} | changes)
    engine = create_engine(url, settings)
    _, arguments = engine.dialect.create_connect_args(engine.url)
    arguments = {**arguments, **asyncpg_arguments(url, settings)}
    assert arguments.keys() <= signature(asyncpg.connect).parameters.keys()
    names = signature(connect_utils._parse_connect_arguments).parameters
    defaults = {name: signature(asyncpg.connect).parameters[name].default for name in names}
    addresses, parameters, _ = connect_utils._parse_connect_arguments(
        **defaults | {name: value for name, value in arguments.items() if name in names}
    )
    return addresses, parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://u:p@h:1/d", "u:p@h:1/d"),
        ("postgresql://h/d", "h/d"),
        ("postgresql+asyncpg://h/d", "h/d"),
        ("postgresql+psycopg2://h/d", "h/d"),
        ("postgresql+psycopg://h/d", "h/d"),
        ("pgsql://h/d", "h/d"),
        ("POSTGRES://h/d", "h/d"),
        (" \n'postgresql://u:p@h/d'\n", "u:p@h/d"),
        ('"postgresql://u:p@h/d"', "u:p@h/d"),
        ("psql 'postgresql://u:p@h/d?sslmode=require'", "u:p@h/d?sslmode=require"),
        ("psql postgresql://u:p@h/d", "u:p@h/d"),
        ("host=h port=5433 dbname=d user=u password='p \\' @'", "u:p %27 %40@h:5433/d"),
        ("psql \"host=h dbname = 'my shop'\"", "h/my shop"),
        ("postgresql://u:@h/d", "u@h/d"),
        ("postgresql://[::1]:5433/d", "[::1]:5433/d"),
        ("postgresql://u:p@[fe80::1%25eth0]/d", "u:p@[fe80::1%eth0]/d"),
        ("postgresql://a:1,b:2/d", "/d?host=a%2Cb&port=1%2C2"),
        ("postgresql://a,b/d", "/d?host=a%2Cb"),
        ("postgresql:///d?host=/cloudsql/p:r:i&user=u&password=x", "u:x@/d?host=%2Fcloudsql%2Fp%3Ar%3Ai"),
        ("postgresql://u@%2Fvar%2Frun%2Fpostgresql/d", "u@/d?host=%2Fvar%2Frun%2Fpostgresql"),
        ("postgresql://u:p%40%2F@h/d", "u:p%40%2F@h/d"),
        ("postgresql://h/d?ssl=true", "h/d?sslmode=require"),
        ("postgresql://h/d?ssl=require", "h/d?sslmode=require"),
        ("postgresql://h/d?sslmode=no-verify", "h/d?sslmode=require"),
        ("postgresql://h/d?schema=my%20shop", "h/d?search_path=%22my+shop%22"),
        ("postgresql://h/d?currentSchema=a,b", "h/d?search_path=a%2Cb"),
        ("postgresql://h/d?client_encoding=utf8&gssencmode=prefer&serverVersion=16&charset=utf8", "h/d"),
        ("postgresql://h/d?keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=5", "h/d"),
        ("postgresql://h/d?tcp_user_timeout=30000", "h/d"),
        ("postgresql://u@a:1,b:2/d?target_session_attrs=any", "u@/d?host=a%2Cb&port=1%2C2&target_session_attrs=any"),
        ("postgresql://h/d?prepared_statement_cache_size=0", "h/d?pgbouncer=true"),
        ("postgresql://h/d?prepareThreshold=0", "h/d?pgbouncer=true"),
        ("postgresql://h/d?prepareThreshold=5", "h/d"),
        ("postgresql://h:5432/d?application_name=a@b", "h:5432/d?application_name=a%40b"),
    ],
)
def test_what_people_paste_is_read_as_they_mean_it(text: str, expected: str) -> None:
    assert read(text) == expected
    accepted(parse_database_url(text))


@pytest.mark.parametrize("password", ["p@ss", "p/ss", "p#ss", "p%ss", "p?ss", "p:ss", "p@/?#ss@", "12/34", "p ss"])
def test_a_password_need_not_be_escaped_where_it_has_one_meaning(password: str) -> None:
    url = parse_database_url(f"postgresql://u:{password}@h:5432/d?sslmode=require")
    assert (url.username, url.password, url.host, url.port) == ("u", password, "h", 5432)
    assert (url.database, dict(url.query)) == ("d", {"sslmode": "require"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jdbc:postgresql://h/d", "is a JDBC URL"),
        ("prisma://h/?api_key=x", "is for Prisma's proxy"),
        ("cockroachdb://h/d", "is for CockroachDB"),
        ("postgresql://u@free.aws.cockroachlabs.cloud:26257/d", "is of CockroachDB"),
        ("mysql://h/d", "must start with postgresql:// or sqlite://"),
        ("file:./dev.db", "is not a database URL"),
        ("sqlite://var/strata.db", "must have three slashes"),
        ("sqlite:///var/strata.db?mode=ro", "has parameters that do not fit"),
        ("sqlite:///var/strata.db?check_same_thread=1", "has parameters that do not fit"),
        ("sqlite:///var/strata.db?timeout=long", "cached_statements and timeout must be whole numbers"),
        ("postgresql://h:0/d", "the port must be"),
        ("postgresql://h:65536/d", "the port must be"),
        ("postgresql://a,,b/d", "has a host without a name"),
        ("postgresql:///d?host=a,b,c&port=1,2", "must have one port"),
        ("postgresql://h/d?host=a&host=b", "has a parameter twice"),
        ("postgresql://h/d?host=a:5432", "the host must be"),
        ("postgresql://h..x/d", "the host must be"),
        ("postgresql://u:%ff@h/d", "must be in UTF-8"),
        ("postgresql://u:%00@h/d", "must be text without NUL"),
        ("postgresql://h/d?sslmode=maybe", "sslmode must be disable, "),
        ("postgresql://h/d?sslrootcert=/ca.pem", "sslrootcert needs sslmode=verify-full"),
        ("postgresql://h/d?sslrootcert=system&sslmode=require", "sslrootcert=system needs"),
        ("postgresql://h/d?sslmode=disable&channel_binding=require", "channel_binding=require needs TLS"),
        ("postgresql://h/d?sslnegotiation=direct", "sslnegotiation=direct needs"),
        ("postgresql://h/d?sslmode=require&sslkey=/k", "sslkey and sslpassword need sslcert"),
        ("postgresql://h/d?connect_timeout=0", "connect_timeout must be seconds"),
        ("postgresql://h/d?connect_timeout=soon", "connect_timeout must be seconds"),
        ("postgresql://h/d?statement_timeout=long", "statement_timeout must be milliseconds"),
        ("postgresql://h/d?target_session_attrs=best", "target_session_attrs must be any, "),
        ("postgresql://h/d?client_encoding=latin1", "client_encoding must be UTF8"),
        ("postgresql://h/d?options=-c%20client_encoding=latin1", "options must leave client_encoding at UTF8"),
        ("postgresql://h/d?options=-W%205", "options must be -c name=value"),
        ("postgresql://h/d?options=-c%20user=root", "options must be -c name=value"),
        ("postgresql://h/d?gssencmode=require", "gssencmode must be disable or prefer"),
        ("postgresql://h/d?service=shop", "service is not understood: write into the URL"),
        ("postgresql://h/d?keepalives=0", "keepalives must be 1"),
        ("postgresql://h/d?load_balance_hosts=random", "load_balance_hosts must be disable"),
        ("postgresql://h/d?require_auth=scram-sha-256", "require_auth is nothing that the driver can do"),
        ("postgresql://h/d?hostaddr=10.0.0.5", "hostaddr is not understood: write the address"),
        ("postgresql://h/d?command_timeout=5", "command_timeout is not understood: set DB_STATEMENT_TIMEOUT"),
        ("postgresql://h/d?connection_limit=0", "connection_limit must be a number"),
        ("postgresql://u:p@h/d?foo=1", "foo is not known; docs/configuration.md lists all"),
        ("postgresql://u:p@b?word=1&x=2@h/d", "has a parameter that is not known; docs/configuration.md lists all"),
        ("postgresql://:p@h/d", "has a password, and no user"),
        ("host=h dbname='d", "is no list of name=value"),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_name_with_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as caught:
        parse_database_url(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://u:p?{SECRET}=1&x",
        f"postgresql://u:p@h/d?{SECRET}=1",
        f"postgresql://u:p@h/d?x={SECRET}",
        f"postgresql://u:p@h/d?sslmode={SECRET}",
        f"postgresql://u:p@h/d?options={SECRET}",
        f"postgresql://u:p@{SECRET}:x/d",
        f"host={SECRET}:5 user=u",
        f"password='{SECRET}",
        f"jdbc:postgresql://h/d?password={SECRET}",
    ],
)
def test_no_value_is_told_as_it_may_be_a_secret(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_database_url(text)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)


HOSTERS = {
    "Neon": "postgresql://alex:pw@ep-cool-1-pooler.eu.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
    "Neon's old clients": "postgres://alex:pw@ep-cool-1.eu.aws.neon.tech/neondb?options=endpoint%3Dep-cool-1",
    "Supabase, direct": "postgresql://postgres:pw@db.abcdef.supabase.co:5432/postgres",
    "Supabase, sessions": "postgres://postgres.abcdef:pw@aws-0-eu.pooler.supabase.com:5432/postgres",
    "Supabase, transactions": "postgres://postgres.abcdef:pw@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true",
    "RDS": "postgresql://u:pw@x.abc.eu-central-1.rds.amazonaws.com:5432/d?sslmode=require",
    "Heroku": "postgres://u:pw@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d",
    "Render": "postgresql://u:pw@dpg-abc-a.frankfurt-postgres.render.com/d",
    "Railway": "postgresql://postgres:pw@postgres.railway.internal:5432/railway",
    "Fly": "postgres://u:pw@top2.nearest.of.db.internal:5432/d?sslmode=disable",
    "DigitalOcean": "postgresql://doadmin:pw@db-1.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
    "Azure": "postgres://u:pw@db-1.postgres.database.azure.com:5432/postgres?sslmode=require",
    "Azure's words": "host=db-1.postgres.database.azure.com port=5432 dbname=d user=u password=pw sslmode=require",
    "Google Cloud SQL": "postgresql://u:pw@/d?host=/cloudsql/project:region:instance",
    "Aiven": "postgres://avnadmin:pw@pg-1.aivencloud.com:12345/defaultdb?sslmode=require",
    "Prisma": "postgresql://u:pw@h:5432/d?schema=public&connection_limit=5&pool_timeout=3&connect_timeout=10",
    "Vercel": "postgres://u:pw@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
    "Symfony": "postgresql://app:pw@127.0.0.1:5432/app?serverVersion=16&charset=utf8",
}


@pytest.mark.parametrize("hoster", HOSTERS)
def test_a_hosters_url_is_taken_as_it_is(hoster: str) -> None:
    settings = Settings.model_validate({"database_url": HOSTERS[hoster]})
    assert settings.database.password == "pw"
    _, parameters = accepted(settings.database)
    assert parameters.password == "pw"
    assert "pw" not in shown_url(settings.database).replace("***", "")


@pytest.mark.parametrize(
    ("hoster", "is_pooled"),
    [("Neon", True), ("Neon's old clients", False), ("Supabase, sessions", False), ("Vercel", True), ("Heroku", False)],
)
def test_poolers_of_transactions_are_known_by_their_names(hoster: str, is_pooled: bool) -> None:
    assert Settings.model_validate({"database_url": HOSTERS[hoster]}).db_pgbouncer is is_pooled
    assert not Settings.model_validate({"database_url": HOSTERS[hoster], "db_pgbouncer": False}).db_pgbouncer


@pytest.mark.parametrize("name", ["database_url", "database_read_url"])
def test_a_url_switches_to_pgbouncer_for_all(name: str) -> None:
    settings = Settings.model_validate({"database_url": "postgresql://h/d"} | {name: "postgresql://h/d?pgbouncer=true"})
    assert settings.db_pgbouncer
    assert asyncpg_arguments(settings.database, settings)["statement_cache_size"] == 0


def test_a_url_says_how_large_the_pool_is_and_wins_over_the_settings() -> None:
    url = "postgresql://h/d?connection_limit=3&pool_timeout=2&pgbouncer=false"
    given_too = {"db_pool_size": 7, "db_pool_timeout": 9, "db_pgbouncer": True}
    settings = Settings.model_validate({"database_url": url} | given_too)
    assert (settings.db_pool_size, settings.db_max_overflow, settings.db_pool_timeout) == (3, 0, 2)
    assert not settings.db_pgbouncer
    with pytest.raises(
        ValueError, match=r"DATABASE_READ_URL: connection_limit is not understood here: set DB_POOL_SIZE"
    ):
        Settings.model_validate({"database_url": "postgresql://h/d", "database_read_url": url})


def test_parameters_become_arguments_of_the_driver() -> None:
    url = parse_database_url(
        "postgresql://u:p@a:1,b:2/d?target_session_attrs=read-write&connect_timeout=3&krbsrvname=pg&lock_timeout=5s"
        "&options=-c%20statement_timeout%3D2min%20--work-mem%3D8MB%20endpoint%3Dep-1&fallback_application_name=shop"
    )
    addresses, parameters = accepted(url)
    assert addresses == [("a", 1), ("b", 2)]
    assert (parameters.target_session_attrs, parameters.krbsrvname) == ("read-write", "pg")
    wanted = {"statement_timeout": "2min", "work_mem": "8MB", "lock_timeout": "5s", "options": "endpoint=ep-1"}
    assert wanted.items() <= parameters.server_settings.items()
    assert parameters.server_settings["application_name"] == "shop"
    arguments = asyncpg_arguments(url, Settings())
    assert (arguments["timeout"], arguments["command_timeout"]) == (3, 125)


@pytest.mark.parametrize(
    "url", ["postgresql://h/d?channel_binding=require&sslmode=require", "postgresql://h/d?sslrootcert=system"]
)
def test_channel_binding_and_the_systems_certificates_verify_the_servers_name(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    _, parameters = accepted(parse_database_url(url))
    assert parameters.ssl.check_hostname
    assert parameters.ssl.verify_mode.name == "CERT_REQUIRED"


def test_db_ssl_is_for_urls_that_say_nothing_of_it() -> None:
    settings = Settings.model_validate({"database_url": "postgresql://h/d", "db_ssl": "verify-full"})
    assert accepted(settings.database)[1].ssl.check_hostname
    settings = Settings.model_validate({"database_url": "postgresql://h/d?sslmode=require", "db_ssl": "verify-full"})
    assert not accepted(settings.database)[1].ssl.check_hostname


words = st.text(st.characters(codec="utf-8", max_codepoint=0x24F), max_size=8) | st.sampled_from(
    ["", "/", "@", "a.b", "%"]
)
names = st.sampled_from([*PARAMETERS, *ALIASES, *UNPREPARED, "x", "client_encoding"])
modes = ["require", "verify-full", "verify-ca", "disable", "system", "direct", "any", "prefer-standby", "gssapi"]
others = [
    "0",
    "true",
    "-c a=b",
    "--a=b",
    "endpoint=x",
    "5s",
    "/nowhere",
    "TLSv1.3",
    "1.5",
    "a,b",
    "1,2",
    "[::1]",
    "::1",
]
values = words | st.sampled_from([*modes, *others])
urls = st.builds(
    "{}{}{}@{}{}{}?{}".format,
    st.sampled_from(["postgresql://", "postgres://", "psql 'postgresql://", "sqlite:///", ""]),
    words,
    st.just(":") | words,
    words | st.just("h"),
    st.sampled_from(["", ":1", ":x", ",b:2"]),
    words.map("/{}".format),
    st.lists(st.builds("{}={}".format, names, values), max_size=4).map("&".join),
)
conninfos = st.lists(st.builds("{}={}".format, names, values), min_size=1, max_size=5).map(" ".join)


@configured(deadline=None)
@given(urls | conninfos | st.text())
def test_whatever_is_pasted_the_driver_takes_it_or_it_is_refused(text: str) -> None:
    try:
        url = parse_database_url(text)
        if url.get_backend_name() == "postgresql":
            check_files(url)
    except ValueError:
        return
    # What it is rendered as, for a child process say, means the same.
    assert parse_database_url(url.render_as_string(hide_password=False)) == url
    if url.get_backend_name() == "postgresql":
        accepted(url)
