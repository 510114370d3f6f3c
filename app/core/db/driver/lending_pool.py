"""SQLAlchemy's pool, which lends its connections out."""

from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import AsyncAdaptedQueuePool

if TYPE_CHECKING:
    from app.core.db.driver.pool import Loan


class LendingPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, with connections on loan to a `DriverPool`; whoever else needs one gets it back from there."""

    # Which SQLAlchemy's own pools log to, and which is quiet.
    _sqla_logger_namespace = "sqlalchemy.pool.LendingPool"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The last one first: those that are not needed get old.
        self.idle: list[Loan] = []
        self.wanted = 0

    def _do_get(self) -> Any:
        if self.idle and not super().checkedin():
            self.idle.pop().connection.close()
        # Whoever waits here does not see what gets idle: it has to come back to the pool.
        self.wanted += 1
        try:
            return super()._do_get()
        finally:
            self.wanted -= 1

    def checkedin(self) -> int:
        return super().checkedin() + len(self.idle)

    def checkedout(self) -> int:
        return super().checkedout() - len(self.idle)

    def dispose(self) -> None:
        while self.idle:
            self.idle.pop().connection.close()
        super().dispose()
