"""Below a prefix: the same paths whether the reverse proxy in front has taken the prefix off or passes it on."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

# Starlette's: `Request.base_url` and `Request.url_for` begin with it, and mounts leave it as it is.
ROOT_PATH = "app_root_path"


class RootPath:
    """Stands outside of everything else, so that limits, caches and signatures know one path of each resource.

    Not by ASGI's `root_path`, which would stay in front of `path`, and with which Starlette's mounts do not find a path
    that has no prefix.
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
    """`/a` of `/shop/a`; `/shopping` is below no `/shop`."""
    if not path.startswith(prefix) or path[len(prefix) : len(prefix) + 1] not in (slash, slash[:0]):
        return path
    return path[len(prefix) :] or slash


def root_path_of(scope: Scope) -> str:
    """What stands before our paths in the addresses that clients use; empty without a prefix."""
    return str(scope.get(ROOT_PATH, scope.get("root_path", "")))
