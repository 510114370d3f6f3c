"""Who opens an account with somebody else's address sends them neither words nor many mails."""

from collections.abc import AsyncIterator
from email.message import EmailMessage

import httpx
import pytest
from sqlalchemy import update

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.models.user import User
from app.services.mail.mails import unlinked
from tests.api.calls import URL, login
from tests.conftest import connected, in_one_transaction, running
from tests.factories import PASSWORD, Factory
from tests.mailbox import Mailbox

USERS = "/api/v1/users"
VICTIM = "victim@example.org"
# What the attacker would have the victim read, and click on.
NAME, OTHER_NAME, AGENT, ELSEWHERE = "www.evil.com", "win.evil.net", "http://evil.example/", "a@visit.evil.io"
NEW_PASSWORD = "another horse battery staple"


async def everything_that_mails(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """All that makes us write to somebody, with the attacker's words wherever they go."""
    headers = {"User-Agent": AGENT}
    body = {"username": NAME, "email": VICTIM, "password": PASSWORD, "full_name": NAME}
    assert (await client.post(f"{URL}/register", json=body, headers=headers)).status_code == 201
    await mailbox.messages()  # before the password changes, which voids the link
    await login(client, NAME, headers={"User-Agent": "known"})
    tokens = (await login(client, NAME, headers={"User-Agent": AGENT})).json()
    headers |= {"Authorization": f"Bearer {tokens['access_token']}"}
    name = {"username": OTHER_NAME, "password": PASSWORD}
    assert (await client.patch(f"{USERS}/me", json=name, headers=headers)).status_code == 200
    password = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await client.put(f"{USERS}/me/password", json=password, headers=headers)).status_code == 204
    await client.post(f"{URL}/forgot-password", json={"email": VICTIM}, headers=headers)
    await mailbox.messages()  # its job shares this test's connection
    body = {"email": ELSEWHERE, "password": NEW_PASSWORD}
    assert (await client.post(f"{USERS}/me/email", json=body, headers=headers)).status_code == 202
    token = await mailbox.token(ELSEWHERE)
    assert (await client.post(f"{URL}/verify-email", json={"token": token}, headers=headers)).status_code == 204
    body = {"email": "victim+www.evil.com@example.org", "password": NEW_PASSWORD}
    assert (await client.post(f"{USERS}/me/email", json=body, headers=headers)).status_code == 202


def contents(mail: EmailMessage) -> str:
    """All that its reader sees."""
    return "\n".join([str(mail["Subject"]), *(part.get_content() for part in mail.iter_parts())])


async def test_a_strangers_mailbox_gets_no_word_that_somebody_else_has_chosen(
    client: httpx.AsyncClient, services: AppServices
) -> None:
    mailbox = Mailbox(services)
    await everything_that_mails(client, mailbox)
    mails = [mail for mail in await mailbox.messages() if "victim" in mail["To"]]
    assert sorted({str(mail["Subject"]) for mail in mails}) == [
        "Choose a new password",
        "Confirm your e-mail address",
        "Confirm your new e-mail address",
        "New sign-in to your account",
        "Your e-mail address was changed",
        "Your password was changed",
        "Your user name was changed",
    ]
    for mail in mails:
        assert "evil" not in contents(mail), mail["Subject"]


async def test_a_proven_mailbox_is_told_the_words_and_none_of_them_is_a_link(
    client: httpx.AsyncClient, make: Factory, services: AppServices
) -> None:
    await make.user(username=NAME, email=VICTIM, is_verified=True)
    await login(client, NAME, headers={"User-Agent": "known"})
    tokens = (await login(client, NAME, headers={"User-Agent": AGENT})).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    await client.patch(f"{USERS}/me", json={"username": OTHER_NAME, "password": PASSWORD}, headers=headers)
    device, name = await Mailbox(services).messages(VICTIM)
    assert "http[:]//evil[.]example/" in contents(device)
    for word in ("www[.]evil[.]com", "win[.]evil[.]net", "[.] stands for a full stop"):
        assert word in contents(name)
    for mail in (device, name):
        assert "evil." not in contents(mail)
        assert "://evil" not in contents(mail)


@pytest.mark.parametrize(
    ("text", "unlinked_text"),
    [
        ("www.evil.com", "www[.]evil[.]com"),
        ("a@b.example", "a@b[.]example"),
        ("https://x", "https[:]//x"),
        ("Mozilla/5.0 (X11; rv:140.0) Gecko/20100101", "Mozilla/5.0 (X11; rv:140.0) Gecko/20100101"),
        ("пример.рф", "пример[.]рф"),
        ("evil\u3002com", "evil[.]com"),
        ("The end.", "The end."),
    ],
)
def test_what_a_mail_program_would_make_a_link_of_is_broken(text: str, unlinked_text: str) -> None:
    assert unlinked(text) == unlinked_text


@pytest.fixture
async def limited(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, AppServices]]:
    with_limits = settings.model_copy(
        update={"rate_limit_enabled": True, "rate_limit_login": "100/minute", "rate_limit_mail": "3/hour"}
    )
    async with (
        running(with_limits) as (_, manager, services),
        in_one_transaction(services),
        connected(manager.app) as client,
    ):
        yield client, services


async def sign_in_from(client: httpx.AsyncClient, name: str, devices: int) -> None:
    for number in range(devices):
        answer = await login(client, name, headers={"User-Agent": f"device {number}"})
        assert answer.status_code == 200


async def test_an_account_with_a_strangers_address_floods_no_mailbox(
    limited: tuple[httpx.AsyncClient, AppServices],
) -> None:
    client, services = limited
    make = Factory(services)
    await make.user(username="mallory", email=VICTIM)
    await make.user(username="alice", email="alice@example.com", is_verified=True)
    for name in ("mallory", "alice"):
        await sign_in_from(client, name, 6)
    mailbox = Mailbox(services)
    assert len(await mailbox.messages(VICTIM)) == 3
    assert len(await mailbox.messages("alice@example.com")) == 5, "whose address it is hears of every device"


async def test_the_limit_belongs_to_the_mailbox_and_not_to_the_account(
    limited: tuple[httpx.AsyncClient, AppServices],
) -> None:
    client, services = limited
    make = Factory(services)
    mallory = await make.user(username="mallory", email=VICTIM)
    await sign_in_from(client, "mallory", 4)
    async with services.database.transaction() as session:
        await session.execute(update(User).where(User.id == mallory.id).values(email="m@x.org", email_key="m@x.org"))
    await make.user(username="trudy", email=VICTIM.upper())
    await sign_in_from(client, "trudy", 4)
    mails = await Mailbox(services).messages()
    assert len([mail for mail in mails if mail["To"].lower() == VICTIM]) == 3
