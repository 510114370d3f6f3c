"""Forms are read in the encodings that forms have: Python would keep every other name that it is asked for."""

import encodings

import httpx
import pytest

from tests.api.calls import login
from tests.api.test_conventions import assert_problem
from tests.factories import PASSWORD, Factory

URL = "/api/v1/auth/login"
USUAL = [
    "multipart/form-data; boundary=x",
    'multipart/form-data; boundary="x"',
    "Multipart/Form-Data;boundary=x;charset=UTF-8",
    'multipart/form-data; charset="utf-8"; boundary=x',
]
OTHERS = [
    *(
        f"multipart/form-data; boundary=x; charset={name}"
        for name in ("punycode", "idna", "utf-16", "raw_unicode_escape")
    ),
    "multipart/form-data; boundary=x; charset=unheard-of",
    "multipart/form-data; boundary=x; charset*=utf-8''unheard-of",
    'multipart/form-data; boundary=x; charset="un\\heard-of"',
    "multipart/form-data; boundary=x; charset*0=unheard; charset*1=-of",
    'multipart/form-data; boundary=x; "charset"=unheard-of',
    f"multipart/form-data; boundary={'x' * 71}",
    "multipart/mixed; boundary=x",
]


def multipart(**fields: str) -> str:
    begin = "--x\r\nContent-Disposition: form-data; name="
    return "".join(f'{begin}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()) + "--x--\r\n"


@pytest.mark.parametrize("content_type", USUAL)
async def test_a_usual_form_is_read(client: httpx.AsyncClient, make: Factory, content_type: str) -> None:
    alice = await make.user()
    content = multipart(username=alice.username, password=PASSWORD)
    answer = await client.post(URL, content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 200
    assert (await login(client, alice.username)).status_code == 200


async def test_a_form_in_an_encoding_of_the_clients_is_not_read(client: httpx.AsyncClient) -> None:
    known = set(encodings._cache)
    for content_type in OTHERS:
        for content in (multipart(username="alice", password="x"), ""):
            refused = await client.post(URL, content=content, headers={"Content-Type": content_type})
            assert_problem(refused, 415, "unsupported_media_type")
    assert set(encodings._cache) == known


async def test_the_token_endpoint_says_so_in_its_own_form(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": OTHERS[0]}
    answer = await client.post("/api/v1/auth/token", content=multipart(grant_type="password"), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
