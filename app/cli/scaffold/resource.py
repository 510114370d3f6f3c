"""A resource to be written: its names, its fields, and what follows from them."""

from dataclasses import dataclass

from app.cli.scaffold.fields import Field
from app.cli.scaffold.names import Names


@dataclass(frozen=True, slots=True)
class Resource:
    names: Names
    fields: tuple[Field, ...]
    is_owned: bool
    is_public: bool

    @property
    def is_private(self) -> bool:
        """Whether everyone sees their own rows alone."""
        return self.is_owned and not self.is_public

    @property
    def columns(self) -> list[Field]:
        """In the order of the table: a dataclass has fields with defaults last."""
        return sorted(self.fields, key=lambda field: field.is_optional)

    @property
    def refs(self) -> list[Field]:
        return [field for field in self.fields if field.target is not None]

    @property
    def private_refs(self) -> list[Field]:
        """Those to rows that others than their owner do not see."""
        return [field for field in self.refs if field.target is not None and field.target.is_private]

    @property
    def searched(self) -> list[Field]:
        return [field for field in self.fields if field.kind.is_searched]

    @property
    def filters(self) -> list[Field]:
        return [field for field in self.fields if field.is_filter]

    @property
    def has_filter(self) -> bool:
        return self.is_owned or bool(self.searched or self.filters)

    @property
    def sorts(self) -> list[str]:
        return ["created_at", *(field.column for field in self.fields if field.is_sort)]

    @property
    def uniques(self) -> list[tuple[str, ...]]:
        owner: tuple[str, ...] = ("owner_id",) if self.is_owned else ()
        return [(*owner, field.column) for field in self.fields if field.is_unique]

    @property
    def conflicts(self) -> dict[str, str]:
        """The name of each unique constraint, and the code of the error of who breaks it."""
        return {self.constraint("uq", columns): f"{columns[-1]}_taken" for columns in self.uniques}

    @property
    def indexes(self) -> list[tuple[str, ...]]:
        """One for each order a list can have, and one for each foreign key, which serves its filter too."""
        owner: tuple[str, ...] = ("owner_id",) if self.is_private else ()
        found: list[tuple[str, ...]] = [("owner_id", "created_at", "id")] if self.is_owned else []
        found += [] if self.is_private else [("created_at", "id")]
        for field in self.fields:
            if field.kind.name == "ref":
                found.append((field.column, "created_at", "id"))
            elif field.is_sort and (field.is_indexed or (self.is_owned and self.is_public)):
                found.append((*owner, field.column, "id"))
            elif field.is_indexed:
                found.append((*owner, field.column, "created_at", "id"))
        return found

    def constraint(self, prefix: str, columns: tuple[str, ...]) -> str:
        """The name that `app/models/base.py` gives it."""
        return "_".join((prefix, self.names.plural, *columns))

    def foreign_key(self, column: str, table: str) -> str:
        return f"fk_{self.names.plural}_{column}_{table}"

    @property
    def constraints(self) -> list[str]:
        """The name of every constraint and index."""
        keys = [self.foreign_key(field.column, field.target.table) for field in self.refs if field.target]
        keys += [self.foreign_key("owner_id", "users")] if self.is_owned else []
        indexes = [self.constraint("ix", columns) for columns in self.indexes]
        return [f"pk_{self.names.plural}", *self.conflicts, *indexes, *keys]
