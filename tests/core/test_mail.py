"""Mail to folders and to real SMTP servers, and what the settings refuse."""

import asyncio
import ssl
from collections.abc import Callable
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.core.config.mail_url import MailFolder, MailServer, parse_address, parse_mail_url
from app.core.config.settings import Settings
from app.core.outbound.mail import FileMailer, MailRefusedError, MailServerError, SmtpMailer, compose, open_mailer
from tests.conftest import SECRET
from tests.smtp import PASSWORD, USER, silent_server, smtp_server, tls_contexts

SENDER = Address("Jörg & Söhne", "noreply", "example.com")
LOGIN = "mail%40example.com:p%40ss%3Aw%2Frd"


def message(to: str = "bob@example.com", text: str = "Hello\n") -> EmailMessage:
    return compose(SENDER, to, "Grüße", text, f"<p>{text}</p>")


def mailer_for(port: int, form: str = "smtp://127.0.0.1:{}", tls: ssl.SSLContext | None = None) -> SmtpMailer:
    server = parse_mail_url(form.format(port))
    assert isinstance(server, MailServer)
    return SmtpMailer(server, tls_context=tls, timeout=5)


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return tls_contexts(tmp_path_factory.mktemp("tls"))


def test_a_message_has_two_parts_and_says_that_it_is_automatic() -> None:
    mail = message()
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.tzinfo is not None
    assert mail["Message-ID"].endswith("@example.com>")
    assert message()["Message-ID"] != mail["Message-ID"]


@pytest.mark.parametrize(
    "to",
    [
        "bob@example.com\nBcc: eve@example.com",
        "bob@example.com\r\n\r\nbody",
        "bob@example.com, eve@example.com",
        "group: bob@example.com, eve@example.com;",
        "bob@example.com <eve@example.com>",
        "bob",
        "",
    ],
)
def test_what_is_more_or_less_than_one_address_is_refused(to: str) -> None:
    with pytest.raises(ValueError, match="one e-mail address"):
        message(to)


def test_no_header_takes_a_line_break() -> None:
    with pytest.raises(ValueError, match="linefeed"):
        compose(SENDER, "bob@example.com", "Hello\nBcc: eve@example.com", "", "")
    with pytest.raises(ValueError, match="CR or LF"):
        Address("Strata\r\nBcc: eve@example.com", "noreply", "example.com")


async def test_the_file_mailer_writes_one_private_file_a_message(tmp_path: Path) -> None:
    mailer = FileMailer(tmp_path / "deep" / "mail")
    for number in range(20):
        await mailer.send(message(text=f"number {number}\n"))
    files = sorted(mailer.folder.iterdir())
    texts = [text_of(message_from_bytes(file.read_bytes(), policy=SMTPUTF8)) for file in files]
    assert texts == [f"number {n}\n" for n in range(20)]
    assert all(file.suffix == ".eml" for file in files)
    assert mailer.folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_a_file_can_be_read_as_it_is(tmp_path: Path) -> None:
    """Developers copy links out of it: no line may be broken or encoded."""
    link = f"https://app.example.com/verify-email#token={'x' * 400}"
    await FileMailer(tmp_path).send(message("jörg@exämple.com", f"Hello Jörg\n{link}\n"))
    [file] = tmp_path.iterdir()  # noqa: ASYNC240 - nothing else runs
    text = file.read_text()
    assert {"Subject: Grüße", "To: jörg@xn--exmple-cua.com", "Hello Jörg", link} <= set(text.splitlines())


async def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file, not a folder")
    with pytest.raises(MailServerError, match="exists"):
        await FileMailer(tmp_path / "mail").send(message())


async def test_smtp_without_a_password_may_go_unencrypted() -> None:
    async with smtp_server() as inbox:
        await mailer_for(inbox.port).send(message("jane@example.com"))
    [mail] = inbox.messages
    assert mail["From"] == "Jörg & Söhne <noreply@example.com>"
    assert mail["Subject"] == "Grüße"
    assert inbox.recipients == [["jane@example.com"]]
    assert inbox.had_tls == [False]


async def test_addresses_outside_ascii_go_to_servers_that_know_them() -> None:
    async with smtp_server(enable_SMTPUTF8=True) as inbox:
        await mailer_for(inbox.port).send(message("jörg@exämple.com", "Grüße\n"))
    assert inbox.recipients == [["jörg@xn--exmple-cua.com"]]
    assert "Grüße" in text_of(inbox.messages[0])


@pytest.mark.parametrize("domain", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "bücher。example"])
async def test_any_server_takes_mail_to_and_from_an_international_domain(domain: str) -> None:
    sender = parse_address(f"Bücher <noreply@{domain}>")
    async with smtp_server() as inbox:
        await mailer_for(inbox.port).send(compose(sender, f"jane@{domain}", "Grüße", "Hello\n", "<p>Hello</p>"))
    [mail] = inbox.messages
    assert inbox.recipients == [["jane@xn--bcher-kva.example"]]
    assert (mail["To"], mail["From"]) == ("jane@xn--bcher-kva.example", "Bücher <noreply@xn--bcher-kva.example>")
    assert mail["Message-ID"].endswith("@xn--bcher-kva.example>")


async def test_a_local_part_outside_ascii_is_refused_for_good_by_a_server_without_smtputf8() -> None:
    async with smtp_server() as inbox:
        with pytest.raises(MailRefusedError, match="ASCII"):
            await mailer_for(inbox.port).send(message("jörg@example.com"))
    assert not inbox.messages


def test_a_sender_may_have_an_international_domain() -> None:
    assert settings_with(mail_from="Bücher <noreply@bücher.example>").mail_from == "Bücher <noreply@bücher.example>"
    with pytest.raises(ValidationError, match="MAIL_FROM: must have a domain name that there can be"):
        settings_with(mail_from="noreply@\N{PILE OF POO}.example")


async def test_starttls_is_used_where_it_is_offered(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with smtp_server(tls[0]) as inbox:
        await mailer_for(inbox.port, tls=tls[1]).send(message())
        await mailer_for(inbox.port, "smtp://127.0.0.1:{}?starttls=false", tls=tls[1]).send(message())
    assert inbox.had_tls == [True, False]


async def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    async with smtp_server(auth_require_tls=False) as inbox:
        for form in (f"smtp://{LOGIN}@127.0.0.1:{{}}", "smtp://127.0.0.1:{}?starttls=true"):
            with pytest.raises(MailServerError, match="SMTPException"):
                await mailer_for(inbox.port, form).send(message())
    assert not inbox.logins
    assert not inbox.messages


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with smtp_server(tls[0], auth_required=True) as inbox:
        with pytest.raises(MailServerError, match="cannot be reached"):
            await mailer_for(inbox.port, f"smtp://{LOGIN}@127.0.0.1:{{}}").send(message())
    assert not inbox.logins


async def test_a_user_signs_in_over_starttls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with smtp_server(tls[0], auth_required=True) as inbox:
        await mailer_for(inbox.port, f"smtp://{LOGIN}@127.0.0.1:{{}}", tls[1]).send(message())
        with pytest.raises(MailServerError, match="535"):
            await mailer_for(inbox.port, "smtp://someone:else@127.0.0.1:{}", tls[1]).send(message())
    assert inbox.logins[0]
    assert not any(inbox.logins[1:])
    assert inbox.had_tls == [True]


async def test_smtps_is_encrypted_from_the_first_byte(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with smtp_server(tls[0], implicit=True, auth_require_tls=False) as inbox:
        await mailer_for(inbox.port, f"smtps://{LOGIN}@127.0.0.1:{{}}", tls[1]).send(message())
    assert len(inbox.messages) == 1
    assert inbox.logins == [True]


async def test_a_silent_server_is_given_up() -> None:
    async with silent_server() as port:
        mailer = SmtpMailer(MailServer("127.0.0.1", port, "none"), timeout=0.2)
        async with asyncio.timeout(5):
            with pytest.raises(MailServerError, match="TimeoutError"):
                await mailer.send(message())


@pytest.mark.parametrize(
    ("command", "code", "is_final"),
    [("RCPT", 550, True), ("RCPT", 451, False), ("MAIL", 553, True), ("DATA", 554, True), ("DATA", 452, False)],
)
async def test_a_refusal_is_final_if_the_server_says_so(command: str, code: int, is_final: bool) -> None:
    async def refuse(*_: object) -> str:
        return f"{code} no bob@example.com here"

    async with smtp_server() as inbox:
        setattr(inbox, f"handle_{command}", refuse)  # aiosmtpd looks for it by name
        with pytest.raises(MailServerError, match=f"{code}$") as caught:
            await mailer_for(inbox.port).send(message())
    assert isinstance(caught.value, MailRefusedError) is is_final


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("file:///var/spool/my%20mail", MailFolder(Path("/var/spool/my mail"))),
        ("file:mail", MailFolder(Path("mail"))),
        ("smtp://localhost:1025", MailServer("localhost", 1025, "opportunistic")),
        ("smtp://mail.example.com", MailServer("mail.example.com", 587, "opportunistic")),
        ("smtp://mail.example.com?starttls=true", MailServer("mail.example.com", 587, "starttls")),
        ("smtp://mail.example.com/?starttls=false", MailServer("mail.example.com", 587, "none")),
        (f"smtp://{LOGIN}@[::1]:25", MailServer("::1", 25, "starttls", USER, PASSWORD)),
        ("smtps://u:p@mail.example.com", MailServer("mail.example.com", 465, "tls", "u", "p")),
    ],
)
def test_mail_urls_are_read(text: str, meaning: MailFolder | MailServer) -> None:
    assert parse_mail_url(text) == meaning


def settings_with(**values: str) -> Settings:
    return Settings.model_validate({"environment": "test", "jwt_secret_key": SECRET, **values})


@pytest.mark.parametrize(
    "text",
    [
        "mail.example.com:587",
        "http://u:hunter2@mail.example.com",
        "smtp://u:hunter2@",
        "smtp://u:hunter2@mail.example.com:port",
        "smtp://u:hun/hunter2@mail.example.com",
        "smtp://u:hun#hunter2@mail.example.com",
        "smtp://u:hun?hunter2@mail.example.com",
        "smtp://hunter2@mail.example.com",
        "smtp://u:hunter2@mail.example.com/folder",
        "smtp://u:hunter2@mail.example.com?starttls=false",
        "smtp://u:hunter2@mail.example.com?starttls=hunter2",
        "smtp://u:hunter2@mail.example.com?tls=true",
        "smtp://mail.example.com#hunter2",
        "smtp://[hunter2",
        "file://hunter2/mail",
        "file:",
    ],
)
def test_a_wrong_mail_url_is_a_fault_that_tells_no_secret(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings_with(mail_url=text)
    assert "MAIL_URL: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_server_does_not_show_its_password() -> None:
    assert PASSWORD not in repr(parse_mail_url(f"smtp://{LOGIN}@localhost"))


@pytest.mark.parametrize("sender", ["Strata", "a@b.example, c@b.example", "a@b.example\nBcc: c@b.example", "ä@b"])
def test_a_wrong_sender_is_a_fault(sender: str) -> None:
    with pytest.raises(ValidationError, match="MAIL_FROM: "):
        settings_with(mail_from=sender)


@pytest.mark.parametrize(
    "url", ["app.example.com", "javascript:alert(1)", "https://app.example.com/#/", "https://app.example.com/?page="]
)
def test_a_wrong_frontend_url_is_a_fault(url: str) -> None:
    with pytest.raises(ValidationError, match="FRONTEND_URL: "):
        settings_with(frontend_url=url)


def test_an_address_may_have_a_name() -> None:
    assert parse_address("Jörg <j@example.com>") == Address("Jörg", "j", "example.com")


def test_the_mailer_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    folder = open_mailer(settings_with(data_dir=str(tmp_path)))
    assert isinstance(folder, FileMailer)
    assert folder.folder == tmp_path / "mail"
    other = open_mailer(settings_with(mail_url=f"file://{tmp_path}/other"))
    assert isinstance(other, FileMailer)
    assert other.folder == tmp_path / "other"
    server = open_mailer(settings_with(mail_url="smtp://localhost:1025"))
    assert isinstance(server, SmtpMailer)
    assert server.tls_context.verify_mode is ssl.CERT_REQUIRED
    assert server.tls_context.check_hostname
    assert server.timeout == 10


def test_a_production_server_without_mail_says_so(logs: Callable[[], list[dict[str, Any]]]) -> None:
    open_mailer(settings_with().model_copy(update={"environment": "production"}))
    assert [entry["level"] for entry in logs()] == ["warning"]
    assert "MAIL_URL" in logs()[0]["event"]
