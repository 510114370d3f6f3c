"""How handlers get at what the application holds open."""

from typing import Annotated

from fastapi import Depends, Request

from app.api.request_state import KEY, RequestState, bearer_token
from app.core.security.tokens import Claims
from app.services.accounts.accounts import Accounts
from app.services.app_services import AppServices
from app.services.auth.auth import Auth


def app_services_of(request: Request) -> AppServices:
    services: AppServices = request.scope["state"]["services"]
    return services


def claims_of(request: Request) -> Claims | None:
    """What the request's access token says; None where it has none.

    Raises:
        InvalidTokenError: if it is no good.
    """
    state: RequestState = request.scope[KEY]
    if not state.has_read_claims:
        token = bearer_token(request)
        state.claims = None if token is None else app_services_of(request).auth.tokens.verify(token, "access")
        state.has_read_claims = True
    return state.claims


async def get_app_services(request: Request) -> AppServices:
    return app_services_of(request)


AppServicesDep = Annotated[AppServices, Depends(get_app_services)]


async def get_auth(services: AppServicesDep) -> Auth:
    return services.auth


async def get_accounts(services: AppServicesDep) -> Accounts:
    return services.accounts


AuthDep = Annotated[Auth, Depends(get_auth)]
AccountsDep = Annotated[Accounts, Depends(get_accounts)]
