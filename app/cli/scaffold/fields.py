"""One field of a new resource, from `FIELD:TYPE` to the names and types it has in each file."""

import json
from dataclasses import dataclass

from app.cli.scaffold.kinds import Kind
from app.cli.scaffold.names import Names, camel

# Names in a generated schema that a field's type must not hide.
TAKEN = {
    *("Annotated", "Any", "Decimal", "Field", "Flag", "In", "Literal", "MISSING", "MoneyOut", "Out", "Page"),
    *("IdempotencyDep", "PagingDep", "SessionDep", "CachedDep", "CreatedDep", "ETagDep"),
    *("Amount", "Day", "Email", "Instant", "Int32", "Int32Query", "Line255", "LongText", "JsonId", "Url", "Year"),
    *("AmountQuery", "FlagQuery", "IdParameter", "SearchQuery"),
    *("Depends", "Path", "Query", "Response", "Router", "AsyncSession", "Identity", "CursorPage", "FilterDep"),
}
# What the documentation shows; the words are there to be changed.
EXAMPLES = {
    "title": "The Dispossessed",
    "author": "Ursula K. Le Guin",
    "isbn": "978-0-06-051275-0",
    "name": "Alice Liddell",
    "number": "A-1001",
    "city": "Lisbon",
    "country": "PT",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a `ref` points to: its table, who sees its rows, and how crud and the tests call it.

    `maker` makes a row of anybody's, `own_maker` one of `owner`'s.
    """

    module: str
    table: str
    crud: str
    is_private: bool = False
    maker: str = ""
    own_maker: str = ""
    test_module: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    is_nullable: bool = False
    default: object = None
    is_unique: bool = False
    is_indexed: bool = False
    choices: tuple[str, ...] = ()
    target_name: str = ""
    resource: str = ""
    target: Target | None = None

    @property
    def column(self) -> str:
        return f"{self.name}_id" if self.kind.name == "ref" else self.name

    @property
    def is_optional(self) -> bool:
        return self.is_nullable or self.default is not None

    @property
    def is_sort(self) -> bool:
        return self.kind.is_sortable and not self.is_nullable and (self.is_unique or self.is_indexed)

    @property
    def is_filter(self) -> bool:
        return self.is_unique or self.is_indexed or self.kind.name in {"enum", "bool", "ref", "year"}

    @property
    def enum(self) -> str:
        """The name of its StrEnum."""
        return camel(self.resource) + camel(self.name)

    @property
    def alias(self) -> str:
        """The name of its type in the schemas."""
        if self.kind.name == "bool":
            return "Flag"
        alias, model = camel(self.column), camel(self.resource)
        return model + alias if alias in TAKEN or alias.startswith(model) else alias

    @property
    def alias_source(self) -> str:
        if self.kind.name == "enum":
            told = json.dumps(f"The {self.name.replace('_', ' ')} of {Names(self.resource, '').a_noun}.")
            return f"Annotated[Literal[{', '.join(map(json.dumps, self.choices))}], Field(description={told})]"
        if self.kind.name in {"decimal", "datetime"}:  # these show examples already
            return self.kind.wire
        return f"Annotated[{self.kind.wire}, Field(examples=[{self.example}])]"

    @property
    def example(self) -> str:
        value = self.kind.example or EXAMPLES.get(self.name) or f"Some {self.name.replace('_', ' ')}"
        return json.dumps(value)

    @property
    def wire(self) -> str:
        return f"{self.alias} | None" if self.is_nullable else self.alias

    @property
    def read(self) -> str:
        kind = self.alias if self.kind.name == "enum" else self.kind.read
        kind = f"{kind} | None" if self.is_nullable else kind
        if self.kind.name in {"enum", "bool", "decimal", "datetime"}:
            return kind
        return f"Annotated[{kind}, Field(examples=[{self.example}])]"

    @property
    def query(self) -> str:
        return self.kind.query or self.alias

    @property
    def python(self) -> str:
        """Its type in a filter."""
        return {"decimal": "Decimal", "enum": "str"}.get(self.kind.name, self.kind.read)

    @property
    def mapped(self) -> str:
        """What stands after the column's name in the model."""
        kind = self.enum if self.kind.name == "enum" else self.kind.column
        arguments = []
        if self.kind.name == "enum":
            arguments.append(f"enum_type({self.enum}, 32)")
        if self.target is not None:
            arguments.append(f'ForeignKey("{self.target.table}.id", ondelete="{self.on_delete}")')
        if self.is_optional:
            arguments.append(f"default={self.model_default}")
        column = f" = mapped_column({', '.join(arguments)})" if arguments else ""
        return f"Mapped[{kind} | None]{column}" if self.is_nullable else f"Mapped[{kind}]{column}"

    @property
    def on_delete(self) -> str:
        return "SET NULL" if self.is_nullable else "CASCADE"

    @property
    def migration(self) -> str:
        if self.kind.name != "enum":
            return self.kind.migration
        return f"sa.Enum({', '.join(map(json.dumps, self.choices))}, native_enum=False, length=32)"

    @property
    def names(self) -> list[str]:
        """Of the members of its StrEnum."""
        return [choice.upper().replace("-", "_") for choice in self.choices]

    @property
    def members(self) -> list[tuple[str, str]]:
        return list(zip(self.names, self.choices, strict=True))

    @property
    def model_default(self) -> str:
        if self.kind.name == "enum" and self.default is not None:
            return f"{self.enum}.{dict(zip(self.choices, self.names, strict=True))[str(self.default)]}"
        return self.schema_default

    @property
    def schema_default(self) -> str:
        if self.default is None:
            return "None"
        return json.dumps(self.default) if isinstance(self.default, str) else self.kind.source(self.default)
