"""compare addresses by their domains in Unicode, however they were imported"""

from collections.abc import Iterator, Sequence

import idna
import sqlalchemy as sa
from alembic import context, op

revision: str = "b7d2640f8e15"
down_revision: str | Sequence[str] | None = "e4b90c6f2d17"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

users = sa.table("users", sa.column("id", sa.BigInteger), sa.column("email_key", sa.String))


def upgrade() -> None:
    # Without a database to ask there is nobody to rewrite: these addresses came by imports alone.
    if context.is_offline_mode():
        return
    connection = op.get_bind()
    for id_, key in list(rewritten(connection)):
        # Where two accounts turn out to have one address the older way of writing stays: its owner has a name, too.
        if connection.scalar(sa.select(users.c.id).where(users.c.email_key == key)) is None:
            connection.execute(sa.update(users).where(users.c.id == id_).values(email_key=key))


def downgrade() -> None:
    """The keys serve the code before as well: it looks for what is typed, and these are typed in Unicode."""


def rewritten(connection: sa.Connection) -> Iterator[tuple[int, str]]:
    found = sa.select(users.c.id, users.c.email_key).where(users.c.email_key.like("%@%xn--%"))
    for id_, key in connection.execute(found.order_by(users.c.id)):
        local, _, domain = key.rpartition("@")
        try:
            yield id_, f"{local}@{idna.decode(domain, uts46=True).casefold()}"
        except UnicodeError:
            continue
