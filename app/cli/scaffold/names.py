"""The names that a resource goes by, all made from one."""

import re
from dataclasses import dataclass

# By ear, not by letter: "an hour", "a user".
SILENT_H = ("hour", "honest", "honour", "honor", "heir")
CONSONANT_SOUND = ("uni", "use", "usa", "eu", "one")


def plural_of(singular: str) -> str:
    if re.search(r"[^aeiou]y$", singular):
        return singular[:-1] + "ies"
    if re.search(r"(s|x|z|ch|sh)$", singular):
        return singular + "es"
    return singular + "s"


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def article_of(noun: str) -> str:
    sounds_open = noun.startswith(SILENT_H) or (noun[0] in "aeiou" and not noun.startswith(CONSONANT_SOUND))
    return "an" if sounds_open else "a"


@dataclass(frozen=True, slots=True)
class Names:
    """`singular` and `plural` as identifiers: price_list, price_lists."""

    singular: str
    plural: str

    @property
    def model(self) -> str:
        return camel(self.singular)

    @property
    def noun(self) -> str:
        return self.singular.replace("_", " ")

    @property
    def nouns(self) -> str:
        return self.plural.replace("_", " ")

    @property
    def a_noun(self) -> str:
        return f"{article_of(self.noun)} {self.noun}"

    @property
    def prefix(self) -> str:
        return "/" + self.plural.replace("_", "-")
