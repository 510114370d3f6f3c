"""What we know of FastAPI's and Starlette's internals: no other module of the application names them."""

from dataclasses import fields
from inspect import signature
from pkgutil import resolve_name
from typing import Any

from fastapi import APIRouter
from fastapi import __version__ as fastapi_version
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import Mount, Route, WebSocketRoute

# Seen to work with FastAPI 0.165.0 and Starlette 1.10.0. The checks below decide about FastAPI's other patch releases.
TESTED_WITH = "0.165"

# Where FastAPI keeps what is to end with the handler, before the response leaves (`scope="function"`).
FUNCTION_STACK = "fastapi_function_astack"
# Where it keeps what its telemetry knows about the request.
TELEMETRY = "fastapi.telemetry"

# Our own words for FastAPI's names.
NAMES = {
    "Undefined": "fastapi._compat:Undefined",
    "field_annotation_is_sequence": "fastapi._compat:field_annotation_is_sequence",
    "DefaultPlaceholder": "fastapi.datastructures:DefaultPlaceholder",
    "Dependant": "fastapi.dependencies.models:Dependant",
    "get_cache_key": "fastapi.dependencies.models:_get_cache_key",
    "get_oauth_scopes": "fastapi.dependencies.models:_get_oauth_scopes",
    "is_coroutine_callable": "fastapi.dependencies.models:_is_coroutine_callable",
    "get_param_aliases": "fastapi.dependencies.utils:_get_param_aliases",
    "get_param_model": "fastapi.dependencies.utils:_get_param_model",
    "is_json_field": "fastapi.dependencies.utils:_is_json_field",
    "validate_value": "fastapi.dependencies.utils:_validate_value_with_model_field",
    "request_params_to_args": "fastapi.dependencies.utils:request_params_to_args",
    "IncludedRouter": "fastapi.routing:_IncludedRouter",
    "get_route_path": "starlette._utils:get_route_path",
}
PARAMETERS = {
    "get_cache_key": {"dependant"},
    "get_oauth_scopes": {"dependant"},
    "validate_value": {"field", "value", "values", "loc"},
    "request_params_to_args": {"fields", "received_params"},
}
DEPENDANT_FIELDS = """
path_params query_params header_params cookie_params body_params dependencies name call request_param_name
websocket_param_name http_connection_param_name response_param_name background_tasks_param_name
security_scopes_param_name own_oauth_scopes parent_oauth_scopes use_cache path scope concurrency
"""
ROUTE_OPTIONS = """
self path endpoint response_model status_code tags dependencies summary description response_description responses
deprecated name methods operation_id response_model_include response_model_exclude response_model_by_alias
response_model_exclude_unset response_model_exclude_defaults response_model_exclude_none include_in_schema
response_class dependency_overrides_provider callbacks openapi_extra generate_unique_id_function strict_content_type
max_body_size form_limits
"""


def look_up(place: str) -> Any:
    """None where there is no such name."""
    try:
        return resolve_name(place)
    except (ImportError, AttributeError):
        return None


found = {name: look_up(place) for name, place in NAMES.items()}


def __getattr__(name: str) -> Any:
    """Each of NAMES; None on a FastAPI without it, where nothing asks for what it does."""
    if name not in found:
        raise AttributeError(name)
    return found[name]


def difference() -> str | None:
    """How this FastAPI differs from the one that we know; None if it does not."""
    if fastapi_version.split(".")[:2] != TESTED_WITH.split("."):
        return f"FastAPI is {fastapi_version}, tested is {TESTED_WITH}"
    if missing := [NAMES[name].replace(":", ".") for name, value in found.items() if value is None]:
        return f"there is no {', '.join(missing)}"
    for name, expected in PARAMETERS.items():
        if not expected <= signature(found[name]).parameters.keys():
            return f"{NAMES[name].replace(':', '.')} has other parameters"
    if changed := {field.name for field in fields(found["Dependant"])} ^ {*DEPENDANT_FIELDS.split()}:
        return f"the fields of Dependant have changed: {', '.join(sorted(changed))}"
    if changed := {*signature(APIRoute.__init__).parameters} ^ {*ROUTE_OPTIONS.split()}:
        return f"the options of APIRoute have changed: {', '.join(sorted(changed))}"
    return None


def is_usual(route: Any) -> bool:
    """Whether it takes the paths that its kind takes; an included router, whether it and all its routes do."""
    kind = type(route)
    if isinstance(route, found["IncludedRouter"]):
        kind = type(route.original_router)
        is_known = kind.matches is APIRouter.matches and kind.handle is APIRouter.handle
        return is_known and all(map(is_usual, route.original_router.routes))
    if isinstance(route, APIRoute):
        return kind.matches is APIRoute.matches and kind.handle is APIRoute.handle
    return kind in {Route, Mount, WebSocketRoute, APIWebSocketRoute}
