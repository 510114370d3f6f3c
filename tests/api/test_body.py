"""Bodies as they are read: JSON of RFC 8259 in UTF-8, and forms in UTF-8, by whichever way the route is run."""

import json
from typing import Any

import httpx
import pytest

from app.api.body import SMALL_BODY, loads
from app.schemas.base import MAX_FAULTS, MAX_UNKNOWN_MEMBERS
from app.schemas.item import ItemCreate
from tests.api.calls import URL as AUTH
from tests.factories import PASSWORD, Factory

ITEMS = "/api/v1/items"
SIGN_IN = {"grant_type": "password", "username": "alice", "password": PASSWORD}


def multipart(fields: dict[str, str]) -> str:
    part = "--x\r\nContent-Disposition: form-data; name={}\r\n\r\n{}\r\n"
    return "".join(part.format(name, value) for name, value in fields.items()) + "--x--\r\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -0.5, 1e3, true, null, "x"]}', {"a": [1, -0.5, 1e3, True, None, "x"]}),
        ("\ufeff[]", []),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d\ude00 \\ud800 \ud7ff \ue000"', "😀 \\ud800 \ud7ff \ue000"),
        ('"é😀"', "é😀"),
    ],
)
def test_json_is_read(text: str, value: object) -> None:
    assert loads(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        '{"a": -Infinity}',
        r'"\ud800"',
        r'"\uDC00"',
        r'{"\ud800": 1}',
        r'"\ud83d\ude00\ud83d"',
        r'"\ude00\ud83d"',
        r'"\ud83d \ude00"',
        r'"\\\ud800"',
        "{'a': 1}",
        "",
    ],
)
def test_what_python_alone_takes_for_json_is_none(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        loads(text.encode())


@pytest.mark.parametrize("body", [b'"\xed\xa0\x80"', b'"\xff"', '{"a": 1}'.encode("utf-16"), b"[" * 100_000])
def test_other_encodings_and_depths_are_refused(body: bytes) -> None:
    with pytest.raises((UnicodeDecodeError, json.JSONDecodeError, RecursionError)):
        loads(body)


async def test_a_fault_of_json_is_told_without_what_was_sent(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{AUTH}/register", content=rb'{"password": "\ud800 secret"}', headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "loc": ["body", 14],
            "msg": "JSON decode error: A surrogate pair lacks its other half",
            "type": "json_invalid",
        }
    ]


JSON = {"Content-Type": "application/json"}


async def test_a_few_unknown_members_are_told_by_their_names(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    some = {f"unknown_{number}": 1 for number in range(MAX_UNKNOWN_MEMBERS)}
    answer = await client.post(ITEMS, json={"title": "x", **some}, headers=headers)
    assert {fault["loc"][1] for fault in answer.json()["errors"]} == set(some)


async def test_many_unknown_members_are_one_fault(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    most = len(ItemCreate.model_fields) + MAX_UNKNOWN_MEMBERS
    crowd = {f"unknown_{number}": 1 for number in range(most + 1)}
    expected = {"msg": f"Must have at most {most} members", "type": "too_many_members"}
    answer = await client.post(ITEMS, json=crowd, headers=headers)
    assert answer.json()["errors"] == [{"loc": ["body"], **expected}]
    answer = await client.post(f"{ITEMS}/bulk", json={"items": [{"title": "x"}, crowd]}, headers=headers)
    assert answer.json()["errors"] == [{"loc": ["body", "items", 1], **expected}]


async def test_fifty_faults_are_told_and_no_more(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    for number, told in ((MAX_FAULTS - 1, MAX_FAULTS - 1), (MAX_FAULTS, MAX_FAULTS), (1000, MAX_FAULTS)):
        answer = await client.post(f"{ITEMS}/bulk", json={"items": [{}] * number}, headers=headers)
        faults = answer.json()["errors"]
        assert [fault["loc"] for fault in faults] == [["body", "items", at, "title"] for at in range(told)]


@pytest.mark.parametrize("name", ["x" * 1000, "\ufdfa" * 1000])
async def test_a_long_name_is_told_in_part(client: httpx.AsyncClient, make: Factory, name: str) -> None:
    answer = await client.post(ITEMS, json={"title": "x", name: 1}, headers=await make.bearer(await make.user()))
    assert [fault["loc"] for fault in answer.json()["errors"]] == [["body", f"{name[:99]}…"]]


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", '; charset="UTF-8"', "; charset=US-ASCII"])
async def test_forms_of_both_kinds_sign_in(client: httpx.AsyncClient, make: Factory, charset: str) -> None:
    await make.user(username="alice")
    headers = {"Content-Type": f"multipart/form-data; boundary=x{charset}"}
    assert (await client.post(f"{AUTH}/login", content=multipart(SIGN_IN), headers=headers)).status_code == 200
    headers = {"Content-Type": f"application/x-www-form-urlencoded{charset}"}
    body = f"username=alice&password={PASSWORD}&nobody_knows=this"
    assert (await client.post(f"{AUTH}/login", content=body, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("field", "length"), [("username", 320), ("password", 1024), ("scope", 1000), ("client_id", 255)]
)
async def test_a_field_of_a_form_has_a_length(client: httpx.AsyncClient, field: str, length: int) -> None:
    form = {"grant_type": "password", "username": "alice", "password": "x"}
    too_long = await client.post(f"{AUTH}/login", data=form | {field: "x" * (length + 1)})
    assert (too_long.status_code, too_long.json()["errors"][0]["loc"]) == (422, ["body", field])
    assert (await client.post(f"{AUTH}/login", data=form | {field: "x" * length})).status_code == 401
    too_long = await client.post(f"{AUTH}/token", data=form | {field: "x" * (length + 1)})
    assert (too_long.status_code, too_long.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["login", "token"])
async def test_a_form_has_few_fields_and_no_files(client: httpx.AsyncClient, make: Factory, path: str) -> None:
    await make.user(username="alice")
    some = SIGN_IN | {f"unknown_{number}": "x" for number in range(17)}
    assert (await client.post(f"{AUTH}/{path}", data=some)).status_code == 200
    assert (await client.post(f"{AUTH}/{path}", data=some | {"one": "more"})).status_code == 400
    assert (await client.post(f"{AUTH}/{path}", data=SIGN_IN, files={"one": b"x"})).status_code == 400


def form_of(size: int) -> dict[str, Any]:
    return {
        "content": b"username=" + b"x" * (size - 9),
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }


def json_of(size: int) -> dict[str, Any]:
    return {"content": b"{}" + b" " * (size - 2), "headers": JSON}


@pytest.mark.parametrize(
    ("path", "sent"),
    [("login", form_of), ("token", form_of), ("register", json_of), ("refresh", json_of), ("forgot-password", json_of)],
)
async def test_operations_of_few_fields_read_no_large_body(client: httpx.AsyncClient, path: str, sent: Any) -> None:
    answer = await client.post(f"{AUTH}/{path}", **sent(SMALL_BODY))
    assert answer.status_code in {400, 422}
    answer = await client.post(f"{AUTH}/{path}", **sent(SMALL_BODY + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["content-type"] == "application/problem+json"
