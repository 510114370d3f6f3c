"""Who may change a row, and which versions of it they have seen."""

from dataclasses import dataclass
from typing import Any

from app.core.errors import AppError, NotFoundError, NotOwnerError, PreconditionFailedError, VersionConflictError


@dataclass(frozen=True, slots=True)
class Guard:
    """None lets everybody and everything pass. Of private rows nobody but the owner learns that they are there."""

    owner_id: int | None = None
    # Those that If-Match names.
    versions: frozenset[int] | None = None
    is_private: bool = False

    @property
    def checks_afterwards(self) -> bool:
        """Of several versions a statement checks none: what it has changed may have to be taken back."""
        return self.versions is not None and len(self.versions) > 1

    def parameters(self, version: int | None) -> dict[str, Any]:
        """What a statement can check by itself; `version` is the one that a body is based on."""
        if version is None and self.versions is not None and len(self.versions) < 2:
            version = min(self.versions, default=0)  # which no row has
        return {"guard_owner": self.owner_id, "guard_version": version}

    def check_changed(self, row: Any) -> None:
        """Raise PreconditionFailedError if the version before this one is none of several that were named."""
        if self.checks_afterwards and row.version - 1 not in (self.versions or ()):
            raise PreconditionFailedError

    def refusal(self, row: Any, version: int | None) -> AppError | None:
        """Why a row as it is must not be changed, if so."""
        if self.owner_id is not None and row.owner_id != self.owner_id:
            return NotFoundError() if self.is_private else NotOwnerError()
        if self.versions is not None and row.version not in self.versions:
            return PreconditionFailedError()
        if version is not None and row.version != version:
            return VersionConflictError()
        return None


UNGUARDED = Guard()
