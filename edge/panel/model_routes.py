"""Requests about the station's models: what there is, the way back, and letting another one serve."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge.panel.access.access import Access
from edge.panel.access.roles import Role, Who
from edge.panel.http import body_of, guarded, texts
from edge.panel.models import WHY, Models, models_json
from edge.panel.parts import PanelParts
from edge.panel.wire import Json
from lineside.reasons import ContractError, Reason


class ModelRoutes:
    """The routes.

    Args:
        access: decides who may.
        parts: of the station.
    """

    def __init__(self, access: Access, parts: PanelParts) -> None:
        self._access = access
        self._parts = parts

    def routes(self) -> list[Route]:
        """Looking is for everybody who is let in, going back for operators, activating for engineers."""
        access = self._access
        return [
            guarded(access, "/api/models", self._models, Role.VIEWER),
            guarded(access, "/api/models/rollback", self._rollback, Role.OPERATOR, method="POST"),
            guarded(access, "/api/models/activate", self._activate, Role.ENGINEER, method="POST"),
        ]

    async def _models(self, _: Request, who: Who) -> Response:
        return JSONResponse(self._json(self._of(), who))

    async def _rollback(self, request: Request, who: Who) -> Response:
        """Back to the model before, if the one that was seen still serves."""
        operator, digest = texts(await body_of(request), "operator", "digest")
        actor = self._access.operator(who, operator)
        models = self._of()
        if not self._may_roll_back(who):
            raise ContractError(Reason.ROLE, "this station's page may not go back ([panel] rollback); ask an engineer")
        await run_in_threadpool(models.rollback, WHY, _signed(actor, who), only_from=digest)
        return JSONResponse(self._json(models, who))

    async def _activate(self, request: Request, who: Who) -> Response:
        """The package serves from the next frame on, if it passes all that the station asks for."""
        (digest,) = texts(await body_of(request), "digest")
        models = self._of()
        if not who.proven:
            raise ContractError(Reason.ROLE, "a model is activated by an engineer who is logged in ([panel] login)")
        await run_in_threadpool(models.activate, digest, _signed(who.name, who))
        return JSONResponse(self._json(models, who))

    def _of(self) -> Models:
        if self._parts.models is None:
            raise ContractError(Reason.NO_MODEL, "this page knows nothing of the station's models")
        return self._parts.models

    def _may_roll_back(self, who: Who) -> bool:
        engineer = who.proven and who.role >= Role.ENGINEER
        return engineer or (self._parts.settings.rollback and who.role >= Role.OPERATOR)

    def _json(self, models: Models, who: Who) -> Json:
        return models_json(
            models,
            may_roll_back=self._may_roll_back(who),
            may_activate=who.proven and who.role >= Role.ENGINEER,
        )


def _signed(name: str, who: Who) -> str:
    # The audit says how much a name is worth: it must not pass for the station's own, nor a claim for a login.
    return f"{name} (panel, logged in)" if who.proven else f"{name} (panel)"
