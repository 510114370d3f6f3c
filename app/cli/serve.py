"""`strata serve`: migrate, make the first administrator, and serve requests."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from app.cli.greeting import greet, report_stop

if TYPE_CHECKING:
    import uvicorn

    from app.core.config.settings import Settings
    from app.services.accounts.admins import FirstAdmin

GRACE_SECONDS = 30
# The event loop accepts one connection per listening socket and iteration. Under load iterations are long, and new
# connections would wait for many of them before they could even be rejected: so it listens on several duplicates.
LISTENERS = 8


def serve(
    host: Annotated[str, Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, Option(help="Port to listen on; 0 for any free one.", min=0, max=65535)] = 8000,
    workers: Annotated[int | None, Option(help="Server processes; else WEB_CONCURRENCY, else 1.", min=1)] = None,
    reload: Annotated[bool, Option(help="Restart when the code changes; for development.")] = False,
) -> None:
    """Migrate the database, make the first administrator, and serve the API."""
    from app.cli.server import ready_to_run
    from app.core.observability.logging import configure_logging

    # PID 1 of a container ignores the signal until it is handled; uvicorn does so later.
    signal.signal(signal.SIGTERM, stop)
    settings = load_settings(1 if reload else workers)
    configure_logging(settings)
    with faults_as_logged(settings), bind(host, port) as listener:
        admin = prepare(settings)
        config = uvicorn_config(settings, reload)
        # From here on connections queue: the printed address works at once.
        listener.listen(config.backlog)
        server = ready_to_run(config, [listener, *(listener.dup() for _ in range(LISTENERS - 1))])
        greet(settings, base_url(listener), admin)
        run(settings, server)


def load_settings(workers: int | None) -> "Settings":
    """Workers read the environment too, and divide the connection budget by the number of workers."""
    from app.core.config.settings import Settings

    if workers is not None:
        os.environ["WEB_CONCURRENCY"] = str(workers)
    return Settings.load()


@contextmanager
def faults_as_logged(settings: "Settings") -> Iterator[None]:
    """With JSON logs, an error that ends the start is logged as JSON; settings errors come before."""
    if not settings.uses_json_logs:
        yield
        return
    logging.captureWarnings(True)
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - logs every error and exits
        log_fault(error)
        raise typer.Exit(1) from None


def log_fault(error: Exception) -> None:
    import structlog

    from app.cli.faults import explain

    log = structlog.get_logger()
    lines = explain(error)
    if lines is None:
        log.critical("unexpected error", exc_info=error)
    for line in lines or []:
        log.error(line)


def stop(*_: object) -> None:
    """Exit at once: before the server runs there is nothing to finish, and open transactions roll back.

    An exception instead could be swallowed by whatever code the signal interrupts.
    """
    os._exit(0)


def bind(host: str, port: int) -> socket.socket:
    """Bind the port before anything else, so that a busy port is reported at once."""
    from app.cli.faults import MistakeError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Linux lets two processes bind one port as long as neither listens.
        listener.listen()
    except OSError as error:
        listener.close()
        raise MistakeError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --host or --port."
        ) from None
    listener.set_inheritable(True)
    return listener


def prepare(settings: "Settings") -> "FirstAdmin | None":
    """Prepare what the first request needs."""
    from app.core.db.migrations import upgrade
    from app.core.db.startup import check_replica
    from app.core.security.keys import Keyring

    load_plugins(settings)
    Keyring.from_settings(settings)
    upgrade(settings)
    asyncio.run(check_replica(settings))
    warn(settings)
    return asyncio.run(first_admin(settings))


def load_plugins(settings: "Settings") -> None:
    """Load plugins before anything is written: a worker that fails to load one would be restarted again and again."""
    if settings.modules:
        from app.main import create_app

        create_app(settings)


def warn(settings: "Settings") -> None:
    import structlog

    from app.cli.exposed_files import advice, exposed_files
    from app.core.config.unread_names import file_warnings

    log = structlog.get_logger()
    if paths := exposed_files(settings):
        log.warning(advice(paths))
    for warning in file_warnings(settings):
        log.warning(warning)


async def first_admin(settings: "Settings") -> "FirstAdmin | None":
    from app.core.db.engine import Database
    from app.core.security.passwords import PasswordHasher
    from app.services.accounts.admins import ensure_first_admin, keep_password

    # Nobody sees the output: the password goes to a file.
    keep = keep_password if settings.uses_json_logs else None
    database = Database(settings)
    try:
        return await ensure_first_admin(database, PasswordHasher(), settings, keep)
    finally:
        await database.close()


def base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{port}"


def uvicorn_config(settings: "Settings", reload: bool) -> "uvicorn.Config":
    import uvicorn

    from app.core.db.migrations import PACKAGE

    return uvicorn.Config(
        "app.cli.worker:create_app",
        factory=True,
        workers=settings.web_concurrency,
        reload=reload,
        reload_dirs=[str(PACKAGE)] if reload else None,
        log_config=None,
        access_log=False,
        server_header=False,
        http="app.cli.http_protocol:BoundedProtocol",  # by name, which every worker imports
        timeout_keep_alive=settings.keep_alive_seconds,
        ws="none",  # there are no websockets, and their library need not be loaded
        # X-Forwarded-For is ignored unless the settings name the proxy, even from loopback.
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        timeout_graceful_shutdown=GRACE_SECONDS,
        # On a busy machine a starting worker may not respond within uvicorn's five seconds.
        timeout_worker_healthcheck=GRACE_SECONDS,
    )


def run(settings: "Settings", server: Callable[[], bool]) -> None:
    try:
        if not server():
            raise typer.Exit(1)
    except KeyboardInterrupt:
        report_stop(settings)
