"""What an application holds open: made once, in the lifespan of a server or a job worker."""

from dataclasses import dataclass

from app.core.cache.cache import Cache
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.limits.download_slots import DownloadSlots
from app.core.limits.ratelimit import RateLimiter
from app.core.observability.readiness import Readiness
from app.core.outbound.mail import Mailer
from app.core.security.cursors import CursorSigner
from app.core.security.keys import Keyring
from app.core.security.passwords import PasswordHasher
from app.services.accounts.accounts import Accounts
from app.services.auth.auth import Auth
from app.services.items.inventory import Inventory
from app.services.jobs import Jobs
from app.services.mail.delivery import MailDelivery


@dataclass(frozen=True, slots=True)
class AppServices:
    """Tests swap some of them there."""

    settings: Settings
    database: Database
    download_slots: DownloadSlots
    hasher: PasswordHasher
    auth: Auth
    accounts: Accounts
    cache: Cache
    cursors: CursorSigner
    keys: Keyring
    mailer: Mailer
    delivery: MailDelivery
    jobs: Jobs
    limiter: RateLimiter | None
    inventory: Inventory | None
    readiness: Readiness
