"""`FIELD:TYPE` and all that may follow."""

from dataclasses import replace

from app.cli.faults import MistakeError
from app.cli.scaffold.fields import Field
from app.cli.scaffold.kinds import KINDS, default_of

FLAGS = ("unique", "index")


def parse_field(text: str, resource: str) -> Field:
    """Raises MistakeError with what is wrong with `FIELD:TYPE`."""
    flags: set[str] = set()
    rest = text
    while (split := rest.rpartition(":"))[2] in FLAGS:
        rest = split[0]
        flags.add(split[2])
    name, colon, rest = rest.partition(":")
    if not colon or not rest:
        raise MistakeError(f"{text}: write it as FIELD:TYPE, such as title:str. Types: {', '.join(KINDS)}.")
    type_, equals, default = rest.partition("=")
    is_nullable = type_.endswith("?")
    kind_name, _, argument = type_.removesuffix("?").partition(":")
    kind = KINDS.get(kind_name)
    if kind is None:
        raise MistakeError(f"{text}: there is no type `{kind_name}`. Types: {', '.join(KINDS)}.")
    if argument and kind_name not in {"ref", "enum"}:
        raise MistakeError(f"{text}: there is no flag `{argument}`. Flags: {', '.join(FLAGS)}.")
    for flag in sorted(flags & set(kind.refuses_flags)):
        raise MistakeError(f"{text}: {kind_name} fields cannot be `{flag}`; leave the flag out.")
    field = Field(
        name,
        kind,
        is_nullable,
        None,
        "unique" in flags,
        "index" in flags,
        choices_of(text, argument) if kind_name == "enum" else (),
        argument,
        resource,
    )
    return with_default(field, text, default) if equals else field


def choices_of(text: str, argument: str) -> tuple[str, ...]:
    choices = tuple(argument.split("|")) if argument else ()
    if len(choices) < 2:
        raise MistakeError(f"{text}: an enum needs two values or more, such as kind:enum:draft|final.")
    for choice in choices:
        if not choice.isascii() or not choice.replace("-", "_").isidentifier() or choice != choice.lower():
            raise MistakeError(f"{text}: `{choice}` is no value for an enum: take small letters, digits, `_` and `-`.")
        if len(choice) > 32:
            raise MistakeError(f"{text}: `{choice}` has more than the 32 characters that an enum's value may have.")
    if len({choice.replace("-", "_") for choice in choices}) < len(choices):
        raise MistakeError(f"{text}: an enum's values must differ; name each once.")
    return choices


def with_default(field: Field, text: str, default: str) -> Field:
    kind = field.kind.name
    if kind == "ref":
        raise MistakeError(f"{text}: a ref has no default; make it nullable: ref:{field.target_name}?")
    if kind == "enum":
        if default not in field.choices:
            raise MistakeError(f"{text}: the default `{default}` is none of {', '.join(field.choices)}.")
        return replace(field, default=default)
    if field.is_unique:
        raise MistakeError(f"{text}: a unique field cannot have a default: the second row would be refused.")
    try:
        return replace(field, default=default_of(field.kind, default))
    except ValueError:
        raise MistakeError(f"{text}: the default `{default}` is no {kind} that the field would accept.") from None
