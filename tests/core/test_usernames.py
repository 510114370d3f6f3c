"""Which names users can have: none that is taken for another one."""

import subprocess
import sys

import pytest

from app.core.security.addresses import check_address
from app.core.security.invisible import INVISIBLE, refuse_invisible, strip_around
from app.core.security.usernames import check_username
from app.models.user import identity_key
from app.services.accounts.usernames import UsernameReservedError, refuse_reserved


@pytest.mark.parametrize(
    "name",
    [
        "alice",
        "Alice.L-99_",
        "__init__",
        "007",
        "Straße",
        "алиса",
        "Алиса_1",
        "Ἀλίκη",
        "あリス漢字",
        "カーナ",
        "앨리스漢字",
        "ㄅㄆ漢",
        "علي١٢",
        "\u0e2d\u0e19\u0e19",
        "آلیس",
    ],
)
def test_a_name_of_one_script_is_a_name(name: str) -> None:
    assert check_username(name) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("\uff41\uff4c\uff49\uff43\uff45", "alice"),
        ("e\u0301ve", "\u00e9ve"),
        ("\ufb01sh", "fish"),
        ("\uff41\uff11\uff12", "a12"),
    ],
)
def test_a_name_is_stored_in_one_spelling(typed: str, name: str) -> None:
    assert check_username(typed) == name


@pytest.mark.parametrize(
    "name",
    [
        "\u0430dmin",  # a Cyrillic a
        "p\u0430ypal",
        "\u03bfrange",  # a Greek o
        "aβ\u03b3",
        "abc漢字",
        "あ한글",
        "ㄅあ漢",
        "alice\u0661",
        "١٢३",
        "ᎪᏞᏆ",  # Cherokee, all of it like Latin
    ],
)
def test_a_name_of_several_scripts_or_kinds_of_digits_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="letters of one script only, and digits of one kind"):
        check_username(name)


@pytest.mark.parametrize("name", ["...", "___", "-_-", ".alice", "alice.", "-alice", "alice-", "_.alice", "al\u0338ce"])
def test_a_name_is_more_than_punctuation(name: str) -> None:
    with pytest.raises(ValueError, match="must"):
        check_username(name)


@pytest.mark.parametrize(
    "name", ["ali\u200bce", "ali\u200ece", "a\u202elice", "ali\u3164ce", "al\u00adice", "ali\ufe0fce"]
)
def test_a_name_has_nothing_invisible(name: str) -> None:
    with pytest.raises(ValueError, match="invisible"):
        check_username(name)


def test_what_is_invisible_is_what_unicode_says() -> None:
    import regex  # noqa: PLC0415 - as in the application

    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [c for c in characters if bool(INVISIBLE.match(c)) != bool(ignorable.match(c))] == []


@pytest.mark.parametrize("text", ["plain", "Ünïcode", "Алиса и Боб", "日本"])
def test_what_can_be_seen_is_not_invisible(text: str) -> None:
    assert refuse_invisible(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "admin",
        "ADMIN",
        "a.d.m.i.n",
        "_root_",
        "Post-Master",
        "\uff41\uff44\uff4d\uff49\uff4e",
        "ádmin",
        "adm\u0131n",
        "no_reply",
        "Strata",
    ],
)
def test_a_reserved_name_is_so_in_every_spelling(name: str) -> None:
    with pytest.raises(UsernameReservedError):
        refuse_reserved(check_username(name))


@pytest.mark.parametrize("name", ["administer", "rooted", "badmin", "helpful"])
def test_a_name_that_only_begins_like_a_reserved_one_is_free(name: str) -> None:
    refuse_reserved(name)


@pytest.mark.parametrize(
    "address",
    [
        "Evil <a@example.com>",
        "<a@example.com>",
        '"Evil" <a@example.com>',
        "a\u200b@example.com",
        "a\u3164b@example.com",
        "a@exam\u00adple.com",
        "a@example.com, b@example.com",
        '"a b"@example.com',
        "a@[192.0.2.1]",
        "a@localhost",
    ],
)
def test_an_address_is_an_address_and_nothing_else(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|invisible"):
        check_address(address)


@pytest.mark.parametrize("address", ["a@example.com", "a.b+c@sub.example.com", "\u00fc@b\u00fccher.example"])
def test_plain_addresses_are_taken(address: str) -> None:
    assert check_address(address) == address


AROUND = [" {}", "{} ", "{}\u00a0", "\t{}\r\n", "\u200b{}\ufeff", "\u200e\u3000{} \u200f", "{}\ufe0f"]


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_what_is_around_a_name_or_an_address_does_not_belong_to_it(around: str) -> None:
    assert check_username(around.format("alice")) == "alice"
    assert check_address(around.format("alice@example.com")) == "alice@example.com"
    assert strip_around(around.format("a b")) == "a b"
    assert strip_around(around.format("")) == ""


@pytest.mark.parametrize(
    "spelling",
    [
        "a@bücher.example",
        "a@BÜCHER.EXAMPLE",
        "a@xn--bcher-kva.example",
        "a@XN--Bcher-KVA.example",
        "a@bu\u0308cher\u3002example",
    ],
)
def test_a_domain_is_stored_and_compared_in_one_spelling(spelling: str) -> None:
    assert check_address(spelling) == "a@bücher.example"
    assert identity_key(spelling) == "a@bücher.example"


@pytest.mark.parametrize("address", ["a@\N{PILE OF POO}.la", "a@xn--ls8h.la", "a@xn--a.com", "a@example.com."])
def test_a_domain_that_idna_2008_has_not_is_none(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        check_address(address)
    assert identity_key(address) == address


def test_a_plain_name_needs_no_table_of_scripts() -> None:
    """It takes memory, which a process that sees plain names alone does not have to spend."""
    module = "app.core.security.usernames"
    script = f"import sys; from {module} import check_username as c; c('alice'); sys.exit('regex' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
