"""Password hashing; the only module that imports passlib."""

import asyncio
import os
import secrets
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import anyio
from passlib.context import CryptContext

from app.core.errors import OverloadedError
from app.core.security.opaque_string import MAX_TYPED_LENGTH, opaque_string

ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_PASSES = 2
BCRYPT_MAX_BYTES = 72
HASHING_THREADS = max(1, (os.cpu_count() or 2) // 2)
# At about 28 ms per hash the last one waits for less than three seconds.
WAITING_PER_THREAD = 100


class PasswordHasher:
    """argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane), in dedicated threads.

    The few threads bound the memory and leave a core to the event loop in a login storm. They are never replaced: the
    C library keeps a buffer for each thread that has ever hashed.
    bcrypt hashes of an imported user base verify too and are replaced at the next login.
    Source: OWASP Password Storage Cheat Sheet; RFC 9106.
    """

    def __init__(self, threads: int = HASHING_THREADS) -> None:
        # One more than there are threads: a thread that finishes finds the next password in the queue, and does not
        # idle until the busy event loop submits it.
        self.limiter = anyio.CapacityLimiter(threads + 1)
        self.most_waiting = WAITING_PER_THREAD * threads
        self.threads = ThreadPoolExecutor(threads, "password-hashing")
        self.context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated=["bcrypt"],
            argon2__type="ID",
            argon2__memory_cost=ARGON2_MEMORY_KIB,
            argon2__time_cost=ARGON2_PASSES,
            argon2__parallelism=1,
        )
        # A hash that matches no password, and costs as much to verify as a real one.
        salt, digest = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        self.nobody = f"$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p=1${salt}${digest}"

    async def hash(self, password: str) -> str:
        return await self.run(lambda: self.hash_now(password))

    async def verify(self, password: str, hashed: str | None, *, other: str | None = None) -> tuple[bool, str | None]:
        """Whether the password matches, and the new hash if the stored one is outdated.

        Pass None for an unknown user: the result is False, after the same time. If some users have bcrypt hashes, pass
        one like theirs as `other`: then each failure does the work of one hash of either kind.
        """
        return await self.run(lambda: self.verify_now(password, hashed, other))

    def require_room(self) -> None:
        """Raises OverloadedError if the queue is so long that one more would wait too long."""
        if self.limiter.statistics().tasks_waiting >= self.most_waiting:
            raise OverloadedError

    async def run[T](self, work: Callable[[], T]) -> T:
        """Cancellation removes a waiting password from the queue; a hash in progress runs to its end."""
        self.require_room()
        async with self.limiter:
            return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    def hash_now(self, password: str) -> str:
        hashed: str = self.context.hash(opaque_string(password))
        return hashed

    def verify_now(self, password: str, hashed: str | None, other: str | None = None) -> tuple[bool, str | None]:
        """Verify the normalized password, and else the typed one, of which old and imported hashes are.

        Whether it is hashed twice depends on the password only, not on whether the user exists.
        """
        spelled = opaque_string(password)
        verdict = self.verify_spelling(spelled, hashed, other)
        if verdict[0] or spelled == password:
            return verdict
        fits, _ = self.verify_spelling(password, hashed, other)
        return fits, self.hash_now(spelled) if fits else None

    def verify_spelling(self, password: str, hashed: str | None, other: str | None) -> tuple[bool, str | None]:
        # Imported accounts without a password have values such as `!`.
        if hashed is None or self.context.identify(hashed) is None or len(password) > MAX_TYPED_LENGTH:
            password, hashed = password[:MAX_TYPED_LENGTH], self.nobody
        is_argon2 = hashed.startswith("$argon2")
        verdict = self.verify_argon2(password, hashed) if is_argon2 else self.verify_bcrypt(password, hashed)
        if not verdict[0] and other is not None:
            self.verify_bcrypt(password, other) if is_argon2 else self.verify_argon2(password, self.nobody)
        return verdict

    def verify_argon2(self, password: str, hashed: str) -> tuple[bool, str | None]:
        verdict: tuple[bool, str | None] = self.context.verify_and_update(password, hashed)
        return verdict

    def verify_bcrypt(self, password: str, hashed: str) -> tuple[bool, str | None]:
        """bcrypt reads at most 72 bytes and no NUL; the library raises where older ones truncated."""
        cut = password.encode()[:BCRYPT_MAX_BYTES]
        # A NUL never matches, after the same time.
        fits = self.context.verify(cut.replace(b"\0", b"0"), hashed) and b"\0" not in cut
        return fits, self.context.hash(password) if fits else None


def bcrypt_like(hashed: str) -> str:
    """A bcrypt hash that matches no password and costs as much to verify as `hashed`."""
    return f"{hashed[: hashed.rindex('$')]}${'.' * 53}"
