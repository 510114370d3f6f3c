"""What surrounds a value is no part of it, and what has several spellings has one meaning."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.core.config.database import PARTS
from app.core.config.settings import Settings, SettingsError

RANDOM_SECRET = "q7Vd0mXbN3zLr9TjKcYh5WgPfAuEi1So8Bx2Ry6C"
OTHER_SECRET = "Zr8Yk2Lw5Tq9Xn4Vb7Mc1Jh6Gf3Ds0Pa-Oi_UeEtRyW"
# A value for each setting, in the form in which it is kept; where there is a choice, not the default.
PLAIN = {
    "fast_path": "off",
    "environment": "test",
    "data_dir": "/srv/strata",
    "git_commit": "4569a17",
    "modules": "stock,billing",
    "database_url": "postgresql://u:p@h:1/d",
    "database_read_url": "postgresql://u:p@r/d",
    "db_driver": "sqlite",
    "db_host": "db.example.com",
    "db_user": "me",
    "db_password": "pass word",
    "db_database": "shop",
    "db_ssl": "verify-full",
    "redis_url": "redis://:p@h:6379/1",
    "redis_prefix": "shop",
    "jwt_algorithm": "HS256",
    "jwt_secret_key": RANDOM_SECRET,
    "jwt_previous_keys": f"{RANDOM_SECRET},{OTHER_SECRET}",
    "jwt_issuer": "us",
    "jwt_audience": "them",
    "rate_limit_default": "10/minute;50/day",
    "rate_limit_login": "9/minute",
    "rate_limit_register": "8/hour",
    "rate_limit_mail": "7 per hour",
    "rate_limit_export": "6/day",
    "mail_url": "smtp://u:p@h:587",
    "mail_from": "Us <us@example.com>",
    "frontend_url": "https://app.example.com",
    "inventory_url": "https://u:p@h/v1",
    "first_admin_username": "boss",
    "first_admin_email": "boss@example.com",
    "first_admin_password": "correct horse",
    "cors_origins": "https://a.example,https://b.example:8443",
    "cors_headers": "X-Tenant,X-Device",
    "trusted_hosts": "a.example,*.b.example",
    "forwarded_allow_ips": "10.0.0.1,10.1.0.0/16",
    "root_path": "/shop",
    "max_body_size": "2MiB",
    "log_level": "error",
    "log_format": "json",
}
SWITCHES_AND_NUMBERS = {
    name: "no" if field.annotation is bool else "7"
    for name, field in Settings.model_fields.items()
    if name not in PLAIN
}
EVERY = PLAIN | SWITCHES_AND_NUMBERS
LISTS = ("modules", "jwt_previous_keys", "cors_origins", "cors_headers", "trusted_hosts", "forwarded_allow_ips")
AROUND: dict[str, Callable[[str], str]] = {
    "a line end": "{}\n".format,
    "the line end of Windows": "{}\r\n".format,
    "blanks": "  {}\t ".format,
    "double quotes": '"{}"'.format,
    "single quotes": "'{}'".format,
    "quotes and blanks": ' "{}\n" \n'.format,
    "a byte order mark": "\ufeff{}".format,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(name: str, value: str) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name.upper(), value)
        return Settings.load()


def load_all(around: Callable[[str], str]) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in EVERY.items():
            patch.setenv(name.upper(), around(value))
        return Settings.load()


def fault(name: str, value: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(name, value)
    (line,) = caught.value.faults
    assert "\n" not in line
    return line


def values(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in type(settings).model_fields}


def test_there_is_a_value_for_each_setting_of_text() -> None:
    annotations = {Settings.model_fields[name].annotation for name in SWITCHES_AND_NUMBERS}
    assert annotations <= {bool, int, float, int | None}


@pytest.mark.parametrize("around", AROUND)
def test_what_surrounds_a_value_is_no_part_of_it(around: str) -> None:
    assert values(load_all(AROUND[around])) == values(load_all(str))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("line", ["{}={}", "export {} = '{} '", '{}="{}\\n"', "{}={} # a comment"])
def test_a_file_gives_what_the_process_gives(folder: Path, line: str, ending: str) -> None:
    lines = [line.format(name.upper(), value) for name, value in EVERY.items()]
    (folder / ".env").write_text("\ufeff" + "".join(f"{line}{ending}" for line in lines), "utf-8", newline="")
    assert values(Settings.load()) == values(load_all(str))


def test_quotes_that_a_file_keeps_are_part_of_the_value(folder: Path) -> None:
    (folder / ".env").write_text("""DB_PASSWORD='"quoted"'\nDB_HOST=h\nDB_USER=u\nDB_DATABASE=d\n""")
    assert Settings.load().database.password == '"quoted"'


def test_what_is_nothing_but_quotes_counts_as_not_set(folder: Path) -> None:
    (folder / ".env").write_text("JWT_ISSUER=of-the-file\n")
    assert load("JWT_ISSUER", '" "').jwt_issuer == "of-the-file"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_may_be_json_or_have_quotes_around_its_parts(name: str) -> None:
    plain, parts = load(name, PLAIN[name]), PLAIN[name].split(",")
    for text in (json.dumps(parts), ", ".join(f"'{part}'" for part in parts)):
        assert values(load(name, text)) == values(plain)
    assert getattr(load(name, "[]"), name) == ()


@pytest.mark.parametrize("name", [name for name in LISTS if name != "jwt_previous_keys"])
def test_blanks_and_lines_separate_words_too(name: str) -> None:
    assert values(load(name, PLAIN[name].replace(",", "\n"))) == values(load(name, PLAIN[name]))


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("environment", "TEST", "test"),
        ("log_level", "WARNING", "warning"),
        ("log_format", "JSON", "json"),
        ("db_ssl", "Verify-Full", "verify-full"),
        ("jwt_algorithm", "hs256", "HS256"),
    ],
)
def test_a_choice_is_found_in_any_letter_case(name: str, given: str, kept: str) -> None:
    assert getattr(load(name, given), name) == kept


@pytest.mark.parametrize(
    ("text", "is_on"), [("true ", True), ("YES", True), ("on", True), ("Off", False), ("0", False)]
)
def test_a_switch_takes_the_usual_words(text: str, is_on: bool) -> None:
    assert load("DEBUG", text).debug is is_on


@pytest.mark.parametrize(("name", "value"), [("DATA_DIR", "~/strata"), ("MAIL_URL", "file:~/strata")])
def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, value: str) -> None:
    from app.core.config.mail_url import MailFolder, parse_mail_url  # noqa: PLC0415 - beside its only use

    monkeypatch.setenv("HOME", str(folder))
    settings = load(name, value)
    url = settings.mail_url
    found = settings.data_dir if url is None else parse_mail_url(url.get_secret_value())
    assert found in {folder / "strata", MailFolder(folder / "strata")}


@pytest.mark.parametrize("name", ["DATA_DIR", "MAIL_URL"])
def test_a_home_folder_that_nobody_has_is_told(name: str) -> None:
    value = "~nobody-of-this-name/x"
    assert fault(name, f"file:{value}" if name == "MAIL_URL" else value).startswith(f"{name}: begins with `~`, but ")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://app.example.com/", "https://app.example.com"),
        ("HTTPS://App.Example.com", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80/", "http://app.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(given: str, kept: str) -> None:
    assert load("CORS_ORIGINS", given).cors_origins == (kept,)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("app.example.com", "an origin is a scheme and a host, as in https://app.example.com"),
        ("localhost:3000", "an origin is a scheme and a host"),
        ("null", "an origin is a scheme and a host"),
        ("https://", "an origin is a scheme and a host"),
        ("https://a.example:port", "an origin is a scheme and a host"),
        ("https://a.example/app", "an origin has no path, query or user"),
        ("https://a.example?x", "an origin has no path, query or user"),
        ("https://me:secret@a.example", "an origin has no path, query or user"),
        ("https://*.example.com", "an origin cannot be a pattern; list each one"),
        ("https://b\u00fccher.example", "a host name must be ASCII; write it in Punycode"),
        ("https://a_%.example", "a host is a name or an address alone"),
        ("https://a.example;https://b.example", "an origin has no path"),
        ("['https://a.example']", "an origin is a scheme and a host"),
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(value: str, said: str) -> None:
    assert fault("CORS_ORIGINS", value).startswith(f"CORS_ORIGINS: {said}")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.example.com/", "api.example.com"),
        ("api.example.com:8443", "api.example.com"),
        ("API.Example.com.", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("https://*.example.com:8443", "*.example.com"),
        ("api_1", "api_1"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "[::1]"),
        ("[::1]:8000", "[::1]"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("*", "*"),
    ],
)
def test_a_trusted_host_is_kept_as_requests_have_it(given: str, kept: str) -> None:
    assert load("TRUSTED_HOSTS", given).trusted_hosts == (kept,)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("api.*.example.com", "`*` stands for the first part of a host name alone, as in *.example.com"),
        ("*example.com", "`*` stands for the first part"),
        ("*.*.example.com", "`*` stands for the first part"),
        (".example.com", "a host is a name or an address alone, as in api.example.com"),
        ("https://api.example.com/v1", "a host is a name or an address alone"),
        ("me@api.example.com", "a host is a name or an address alone"),
        ("10.0.0.0/8", "a host is a name or an address alone"),
        ("a.example;b.example", "a host is a name or an address alone"),
        ("b\u00fccher.example", "a host name must be ASCII"),
        (f"{'a' * 254}", "a host is a name or an address alone"),
    ],
)
def test_what_is_no_host_is_refused_at_the_start(value: str, said: str) -> None:
    assert fault("TRUSTED_HOSTS", value).startswith(f"TRUSTED_HOSTS: {said}")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.1/8", ("10.0.0.0/8",)),
        ("[2001:DB8::1]", ("2001:db8::1",)),
        ("2001:db8::1/32", ("2001:db8::/32",)),
        ("10.0.0.1,*", ("*",)),
        ("10.0.0.1,10.0.0.1", ("10.0.0.1",)),
    ],
)
def test_a_proxy_is_kept_as_the_server_compares_it(given: str, kept: tuple[str, ...]) -> None:
    assert load("FORWARDED_ALLOW_IPS", given).forwarded_allow_ips == kept


@pytest.mark.parametrize("value", ["nginx", "localhost", "10.0.0.1:80", "10.0.0.0/99", "10.0.0.*", "http://10.0.0.1"])
def test_what_would_match_no_proxy_is_refused_at_the_start(value: str) -> None:
    assert fault("FORWARDED_ALLOW_IPS", value).startswith("FORWARDED_ALLOW_IPS: a proxy is an address or a network")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10 per minute", "10 per minute"),
        ("10/min", "10/minute"),
        ("10/M", "10/minute"),
        ("10/15 min; 50/d;", "10/15 minute; 50/day"),
        ("5 / HOUR", "5 / HOUR"),
    ],
)
def test_a_rate_may_have_short_units(given: str, kept: str) -> None:
    assert load("RATE_LIMIT_LOGIN", given).rate_limit_login == kept


@pytest.mark.parametrize("value", ["10", "minute", "0/minute", "10/fortnight", "1000001/minute", "10/2 years", ";"])
def test_what_is_no_rate_is_refused_at_the_start(value: str) -> None:
    assert fault("RATE_LIMIT_LOGIN", value).startswith("RATE_LIMIT_LOGIN: must be as in 10/minute, 5/hour or 100/day")


@pytest.mark.parametrize("name", ["FRONTEND_URL", "INVENTORY_URL"])
@pytest.mark.parametrize("value", ["app.example.com", "https://a.example/?x=1", "https://a.example/#x", "https://"])
def test_what_paths_cannot_be_added_to_is_refused_at_the_start(name: str, value: str) -> None:
    assert fault(name, value).startswith(f"{name}: must be ")


@pytest.mark.parametrize("value", ["us", "us@", "a@b.example, c@d.example", "us:;_", "us:a@b.example;", "<a@b.example"])
def test_what_is_no_sender_is_refused_at_the_start(value: str) -> None:
    assert fault("MAIL_FROM", value).startswith("MAIL_FROM: must be one e-mail address, as in ")


@pytest.mark.parametrize("value", ["us@example.com", "Us <us@example.com>", '"Us, them" <us@example.com>'])
def test_a_sender_may_have_a_name(value: str) -> None:
    assert load("MAIL_FROM", value).mail_from == value


def test_links_in_mails_have_no_user() -> None:
    assert fault("FRONTEND_URL", "https://me:secret@a.example").startswith("FRONTEND_URL: must be the address of ")


@pytest.mark.parametrize("value", ["redis://h/zero", "redis://h?colour=blue", "redis://h?socket_timeout=long"])
def test_what_the_connection_to_redis_does_not_know_is_refused_at_the_start(value: str) -> None:
    assert fault("REDIS_URL", value).startswith("REDIS_URL: ")


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("DB_POOL_TIMEOUT", "30s", "; write it in digits, without a unit"),
        ("WEB_CONCURRENCY", "4 workers", "; write a whole number in digits, without a unit"),
        ("MAX_BODY_SIZE", "10 potatoes", "; write bytes, or as in 512KiB or 2MiB"),
        ("DEBUG", "perhaps", "; write true or false"),
    ],
)
def test_a_fault_says_how_to_mend_it(name: str, value: str, mend: str) -> None:
    assert fault(name, value).endswith(mend)


HUGE = ["9" * 30, "1e308", "inf", "nan", "-1", "[" * 5000, "x" * 300]
GARBAGE = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)


def use(name: str, garbage: str) -> None:
    """It is a fault with the name of its setting, or is taken and does no harm."""
    try:
        settings = load(name, garbage)
    except SettingsError as error:
        told = error.faults
    else:
        told = []
        _ = datetime.now(UTC) + max(settings.access_token_ttl, settings.session_max_age, settings.refresh_token_ttl)
    assert [line for line in told if not line.startswith((f"{name.upper()}: ", "DB_"))] == []


@pytest.mark.parametrize("garbage", HUGE)
def test_what_is_too_large_is_told_by_name(garbage: str) -> None:
    # Where text is taken, a number is one like any other.
    for name in [*SWITCHES_AND_NUMBERS, "max_body_size"] if len(garbage) < 50 else Settings.model_fields:
        use(name, garbage)


@examples(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(st.sampled_from(list(Settings.model_fields)), GARBAGE)
def test_garbage_is_told_by_name(name: str, garbage: str) -> None:
    use(name, garbage)


@pytest.mark.parametrize("value", ["a\udcffb", "a\x07b"])
def test_what_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    names = Settings.model_fields.keys() - {*PARTS}  # which nobody looks at beside a DATABASE_URL
    for name in names:
        monkeypatch.setenv(name.upper(), value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    said = "must be text in UTF-8 without control characters"
    assert {*caught.value.faults} == {f"{name.upper()}: {said}" for name in names}
