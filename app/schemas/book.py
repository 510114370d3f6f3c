"""Books on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import MISSING, Field

from app.schemas.base import In, Out
from app.schemas.fields import Line255, Year

Title = Annotated[Line255, Field(examples=["The Dispossessed"])]
Author = Annotated[Line255, Field(examples=["Ursula K. Le Guin"])]
ReleaseYear = Annotated[Year, Field(examples=[1974])]
Isbn = Annotated[Line255, Field(examples=["978-0-06-051275-0"])]


class BookCreate(In):
    title: Title
    author: Author
    release_year: ReleaseYear
    isbn: Isbn | None = None


class BookReplace(BookCreate):
    """All of a book: what is left out goes back to its default."""


class BookUpdate(In):
    """What to change. `null` clears what may be empty."""

    title: Title | MISSING = MISSING
    author: Author | MISSING = MISSING
    release_year: ReleaseYear | MISSING = MISSING
    isbn: Isbn | None | MISSING = MISSING


class BookRead(Out):
    id: Annotated[int, Field(examples=[42])]
    title: Annotated[str, Field(examples=["The Dispossessed"])]
    author: Annotated[str, Field(examples=["Ursula K. Le Guin"])]
    release_year: Annotated[int, Field(examples=[1974])]
    isbn: Annotated[str | None, Field(examples=["978-0-06-051275-0"])]
    created_at: datetime
    updated_at: datetime
