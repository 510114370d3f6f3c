"""Background jobs: thin entry points like handlers, for the queue. One import and one line for each module."""

from app.tasks import accounts, mail, maintenance
from app.tasks.registry import Tasks

tasks = Tasks.of(
    mail.tasks,
    accounts.tasks,
    maintenance.tasks,
)
