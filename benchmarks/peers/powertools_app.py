"""With Powertools for AWS Lambda: resolver with validation, Logger, Metrics, Tracer, as its documentation has them."""
# mypy: disable-error-code="untyped-decorator"

from typing import Annotated, Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit

from benchmarks.peers import store
from benchmarks.peers.models import CreateKey, Deleted, Limit, Listed, Pagination, Shown, UpdateKey
from benchmarks.peers.store import ENDPOINT

logger = Logger()
metrics = Metrics()
tracer = Tracer()
app = APIGatewayRestResolver(enable_validation=True)
KEYS = "/api/v1/admin/api-keys"


def _context() -> Any:
    return app.current_event.request_context


def _principal() -> str:
    return str(_context().authorizer["sub"])


def _changed(change: str, key_id: str) -> None:
    logger.info("API key changed", extra={"change": change, "keyId": key_id})
    metrics.add_dimension("change", change)
    metrics.add_metric("Changes", MetricUnit.Count, 1)


@app.exception_handler(store.NotFound)
def _not_found(_error: store.NotFound) -> Response[Any]:
    raise NotFoundError("There is no API key with this id.")


@app.exception_handler(store.Duplicate)
def _duplicate(_error: store.Duplicate) -> Response[Any]:
    raise ServiceError(409, "Another key has this name.")


if ENDPOINT == "create":

    @app.post(KEYS)
    @tracer.capture_method(capture_response=False)
    def create(new: CreateKey) -> Response[Shown]:
        """Store a key."""
        key = store.create(new, _principal())
        _changed("create", key.id)
        shown = Shown(data=key, requestId=_context().request_id)
        return Response(201, content_types.APPLICATION_JSON, shown, headers={"Location": f"{KEYS}/{key.id}"})


if ENDPOINT == "list":

    @app.get(KEYS)
    @tracer.capture_method(capture_response=False)
    def list_keys(
        limit: Annotated[Limit, Query()] = 20,
        service: Annotated[str | None, Query()] = None,
        active: Annotated[bool | None, Query()] = None,
        cursor: Annotated[str | None, Query()] = None,
    ) -> Listed:
        """List keys."""
        keys, after = store.page(limit, service, active, cursor)
        pagination = Pagination(limit=limit, nextCursor=after)
        return Listed(data=keys, pagination=pagination, requestId=_context().request_id)


if ENDPOINT == "get":

    @app.get(f"{KEYS}/<key_id>")
    @tracer.capture_method(capture_response=False)
    def get(key_id: str) -> Shown:
        """Show a key."""
        return Shown(data=store.get(key_id), requestId=_context().request_id)


if ENDPOINT == "update":

    @app.patch(f"{KEYS}/<key_id>")
    @tracer.capture_method(capture_response=False)
    def update(key_id: str, changes: UpdateKey) -> Shown:
        """Change a key."""
        key = store.update(key_id, changes, _principal())
        _changed("update", key_id)
        return Shown(data=key, requestId=_context().request_id)


if ENDPOINT == "delete":

    @app.delete(f"{KEYS}/<key_id>")
    @tracer.capture_method(capture_response=False)
    def delete(key_id: str) -> Deleted:
        """Delete a key."""
        store.delete(key_id)
        _changed("delete", key_id)
        return Deleted(requestId=_context().request_id)


if ENDPOINT == "verify":

    @app.post(f"{KEYS}/<key_id>/verify")
    @tracer.capture_method(capture_response=False)
    def verify(key_id: str) -> Shown:
        """Ask the key's service whether it takes the key."""
        key = store.verify(key_id)
        _changed("verify", key_id)
        return Shown(data=key, requestId=_context().request_id)


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event."""
    return app.resolve(event, context)


if ENDPOINT in {"create", "update", "delete", "verify"}:
    handler = metrics.log_metrics(handler)
