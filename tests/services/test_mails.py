"""Every template, with ordinary and with hostile values."""

import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any, get_args

import pytest
from jinja2 import UndefinedError

from app.core.config.settings import Settings
from app.services.mail import mails
from app.services.mail.mails import PAGES, SUBJECTS, MailName, duration, format_timestamp

NAMES: tuple[MailName, ...] = get_args(MailName.__value__)
TOKEN = "t0ken-" + "x" * 37
VALUES: dict[str, Any] = {
    "token": TOKEN,
    "code": "WDJB-MJHT",
    "minutes": 1440,
    "ip": "2001:db8:85a3:1234:1234:8a2e:370:7334",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "at": datetime(2026, 11, 22, 15, 21, tzinfo=UTC),
    "new_email": "new@example",
    "old_username": "o" * 50,
    "new_username": "n" * 50,
    "by_admin": False,
}


def render(name: MailName, to: str, settings: Settings, *, is_verified: bool = True, **values: Any) -> EmailMessage:
    return mails.render(name, to, settings, is_verified=is_verified, **values)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"frontend_url": "https://app.example.com/", "mail_from": "Acme Tools <noreply@example.com>"}
    )


def parts(mail: EmailMessage) -> tuple[str, str]:
    text, html = [part.get_content() for part in mail.iter_parts()]
    return text, html


def test_every_mail_has_a_subject_and_both_templates(settings: Settings) -> None:
    assert set(SUBJECTS) == set(NAMES)
    for name in NAMES:
        mail = render(name, "bob@example.com", settings, **VALUES)
        text, html = parts(mail)
        assert mail["To"] == "bob@example.com"
        assert mail["From"] == "Acme Tools <noreply@example.com>"
        assert mail["Subject"] == SUBJECTS[name]
        assert text.startswith("Hello,\n")
        assert "\n-- \nAcme Tools\nhttps://app.example.com\n" in text
        assert f"<title>{SUBJECTS[name]}</title>" in html
        assert html.rstrip().endswith("</html>")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_unresolved(name: MailName, settings: Settings) -> None:
    for part in parts(render(name, "bob@example.com", settings, **VALUES)):
        assert not re.search(r"\{\{|\{%|\{#|Undefined|None", part)


@pytest.mark.parametrize("name", NAMES)
def test_text_fits_a_terminal(name: MailName, settings: Settings) -> None:
    text, _ = parts(render(name, "bob@example.com", settings, **VALUES))
    # Links cannot be wrapped: they stand on lines of their own.
    lines = [line for line in text.splitlines() if not re.fullmatch(r"https://\S+", line)]
    assert max(map(len, lines)) <= 72
    assert text.isascii()
    assert not re.search(r"\n\n\n", text)


@pytest.mark.parametrize("name", PAGES)
def test_the_link_is_in_both_parts_with_the_token_in_its_fragment(name: MailName, settings: Settings) -> None:
    text, html = parts(render(name, "bob@example.com", settings, **VALUES))
    link = f"https://app.example.com{PAGES[name]}#token={TOKEN}"
    assert link in text.splitlines()
    assert f'href="{link}"' in html
    assert "  WDJB-MJHT" in text.splitlines()
    assert ">WDJB-MJHT</p>" in html
    assert "24 hours" in text
    assert "24 hours" in html


@pytest.mark.parametrize("name", NAMES)
def test_html_takes_no_markup_from_anyone(name: MailName, settings: Settings) -> None:
    hostile = '"><script>alert(1)</script>'
    words = ["token", "ip", "user_agent", "new_email", "old_username", "new_username"]
    _, html = parts(render(name, "bob@example.com", settings, **VALUES | dict.fromkeys(words, hostile)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html or name in {"verify_email", "change_email"}, "their links are quoted"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_loaded_from_elsewhere(name: MailName, settings: Settings) -> None:
    _, html = parts(render(name, "bob@example.com", settings, **VALUES))
    assert not re.search(r"<img|<link|<script|@import|url\(|src=", html)
    assert 'name="color-scheme" content="light dark"' in html


def test_text_takes_no_lines_from_anyone(settings: Settings) -> None:
    agent = "Browser\r\n\r\nYour account is closed:\u2028http://evil.example\u202e"
    text, html = parts(render("new_device", "bob@example.com", settings, **VALUES | {"user_agent": agent}))
    assert "  Device   Browser    Your account is closed: http[:]//evil[.]example" in text
    assert "\u202e" not in text + html


def test_a_long_user_agent_is_cut(settings: Settings) -> None:
    text, html = parts(render("new_device", "bob@example.com", settings, **VALUES | {"user_agent": "x" * 500}))
    for part in (text, html):
        assert "x" * 57 + "..." in part
        assert "x" * 58 not in part


def test_whoever_asks_for_a_new_password_writes_nothing_into_the_mail(settings: Settings) -> None:
    values = VALUES | {"user_agent": "call-this-number"}
    assert "call-this-number" not in "".join(parts(render("reset_password", "bob@example.com", settings, **values)))


@pytest.mark.parametrize("name", ["reset_password", "email_changed", "password_changed", "new_device"])
def test_what_is_not_known_is_called_unknown(name: MailName, settings: Settings) -> None:
    for part in parts(render(name, "bob@example.com", settings, **VALUES | {"ip": None, "user_agent": None})):
        assert "unknown" in part
        assert "None" not in part


def test_a_missing_value_is_an_error(settings: Settings) -> None:
    with pytest.raises(UndefinedError, match="minutes"):
        render("verify_email", "bob@example.com", settings, token=TOKEN, code="WDJB-MJHT")


def test_a_sender_without_a_name_signs_with_its_domain(settings: Settings) -> None:
    plain = settings.model_copy(update={"mail_from": "noreply@example.com"})
    text, _ = parts(render("verify_email", "bob@example.com", plain, **VALUES))
    assert "\n-- \nexample.com\n" in text


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(1, "1 minute"), (30, "30 minutes"), (60, "1 hour"), (90, "90 minutes"), (1440, "24 hours"), (2880, "2 days")],
)
def test_durations_read_well(minutes: int, text: str) -> None:
    assert duration(minutes) == text


def test_timestamps_are_in_utc() -> None:
    at = datetime(2026, 11, 22, 17, 21, tzinfo=UTC) + timedelta(seconds=59)
    assert format_timestamp(at) == "2026-11-22 17:21 UTC"


@pytest.mark.parametrize(
    "front_end", ["https://a.example/shop", "https://a.example/shop/", "https://a.example:8443/a/b"]
)
@pytest.mark.parametrize("name", ["verify_email", "reset_password", "change_email"])
def test_a_front_end_below_a_path_gets_its_links_there(settings: Settings, name: MailName, front_end: str) -> None:
    below = settings.model_copy(update={"frontend_url": front_end})
    wanted = f"{front_end.rstrip('/')}/{name.replace('_', '-')}#token="
    assert all(wanted in part for part in parts(render(name, "bob@example.com", below, **VALUES)))
