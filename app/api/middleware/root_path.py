"""Serving below a path prefix, whether or not the reverse proxy strips it."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

# Starlette's key: `Request.base_url` and `Request.url_for` begin with it, and mounts do not change it.
ROOT_PATH = "app_root_path"


class RootPath:
    """Outermost, so that rate limits, caches and signatures see one path per resource.

    ASGI's `root_path` is not used: it stays part of `path`, and Starlette's mounts do not match a path without it.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        """`root_path` as `parse_root_path` returns it, not empty."""
        self.app = app
        self.root_path = root_path
        self.raw_root_path = root_path.encode()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self.app(scope, receive, send)
        return self.app(self.inner(scope), receive, send)

    def inner(self, scope: Scope) -> Scope:
        scope = {**scope, ROOT_PATH: self.root_path}
        scope["path"] = without(scope["path"], self.root_path, "/")
        if scope.get("raw_path"):
            scope["raw_path"] = without(scope["raw_path"], self.raw_root_path, b"/")
        return scope


def without[T: (str, bytes)](path: T, prefix: T, slash: T) -> T:
    """`/a` for `/shop/a`; `/shopping` is not below `/shop`."""
    if not path.startswith(prefix) or path[len(prefix) : len(prefix) + 1] not in (slash, slash[:0]):
        return path
    return path[len(prefix) :] or slash


def root_path_of(scope: Scope) -> str:
    """The prefix of the URLs that clients use; empty without `ROOT_PATH`."""
    return str(scope.get(ROOT_PATH, scope.get("root_path", "")))
