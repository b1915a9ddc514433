"""The local stack behind a fault proxy, and an administrator who calls it.

The tests run against moto, or against another DynamoDB if AWS_ENDPOINT_URL_DYNAMODB names one. Each process creates a
table of its own and deletes it afterwards.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
import requests
from botocore.config import Config
from botocore.retries.standard import ExponentialBackoff
from requests.structures import CaseInsensitiveDict

from local.aws import CREDENTIALS, DYNAMODB_ENDPOINT
from local.events import path_parameters, rest_event
from local.fake_services import FakeServices
from local.stack import LocalStack, local_stack
from service_keys import ApiKey, ServiceKeys
from service_keys.admin import endpoint
from service_keys.admin.endpoint import _error_response
from service_keys.core.models import ChangeContext
from service_keys.store import consumer_clients
from service_keys.store.consumer_clients import BOTOCORE, CLIENT_VARIABLE, DIRECT
from service_keys.store.direct.client import DirectClient
from service_keys.store.recovery import KeyRecovery
from service_keys.store.timeouts import CONSUMER_TIMEOUTS, Timeouts
from tests.support import contract
from tests.support.canary import CANARY, LEAKS
from tests.support.fault_proxy import FaultProxy
from tests.support.iam import Policies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient

    from local.template import Route
    from service_keys.admin.responses import Response

ClientsOf = Callable[..., tuple["DynamoDBClient", "KMSClient"]]
ConsumerOf = Callable[..., ServiceKeys]
COLLECTION = "/api/v1/admin/api-keys"
SERVICES_PATH = "/api/v1/admin/services"
SPOTIFY_KEY = {"clientId": f"{CANARY}0123456789abcdefcdef", "clientSecret": f"{CANARY}fedcba98765432103210"}
SECRET = f"made-up-{CANARY}-0123456789"


@dataclass(frozen=True)
class ApiResponse:
    """An HTTP response with case-insensitive headers."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.text)
        return loaded

    @property
    def data(self) -> Any:
        assert self.body["success"] is True, self.text
        return self.body["data"]

    @property
    def code(self) -> str:
        """The code of the error in the body."""
        assert self.body["success"] is False, self.text
        code: str = self.body["error"]["code"]
        return code


class Admin:
    """An administrator who calls the deployed handlers with API Gateway events.

    Attributes:
        name: The readable name in the token, if it has one.
    """

    def __init__(self, stack: LocalStack, sub: str = "ada") -> None:
        self.stack = stack
        self.sub = sub
        self.name: str | None = None

    def call(
        self,
        method: str,
        path: str,
        *,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """Send a request; validate its response, and inspect it for leaks."""
        response = self._respond(method, path, body, headers or {}, query or {})
        contract.check(method, path, response.status, response.headers, response.text)
        LEAKS.inspect(f"the response to {method} {path}", response.text, dict(response.headers))
        return response

    def _respond(
        self, method: str, path: str, body: str | bytes | None, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> ApiResponse:
        routes = [route for route in _routes(self.stack) if path_parameters(route.path, path) is not None]
        function = next(route.function for route in routes if route.method == method)
        assert function
        authorizer = {"principalId": self.sub, "sub": self.sub} | ({"name": self.name} if self.name else {})
        event = rest_event(method, path, routes[0].path, body, headers, query, authorizer)
        response = self.stack.functions[function].invoke(event)
        return ApiResponse(response["statusCode"], CaseInsensitiveDict(response["headers"]), response["body"])

    def send(self, method: str, path: str, body: object = None, **headers: str) -> ApiResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        text = None if body is None else json.dumps(body)
        return self.call(method, path, body=text, headers={"Content-Type": "application/json"} | sent)

    def create(self, name: str = "Spotify production", key: object = SECRET, **fields: Any) -> dict[str, Any]:
        response = self.send("POST", COLLECTION, {"name": name, "key": key} | fields)
        assert response.status == 201, response.text
        created: dict[str, Any] = response.data
        return created

    def get(self, key_id: str) -> ApiResponse:
        return self.send("GET", f"{COLLECTION}/{key_id}")

    def update(self, key_id: str, changes: object, *, method: str = "PATCH", **headers: str) -> ApiResponse:
        return self.send(method, f"{COLLECTION}/{key_id}", changes, **headers)

    def delete(self, key_id: str, **headers: str) -> ApiResponse:
        return self.send("DELETE", f"{COLLECTION}/{key_id}", **headers)

    def delete_permanently(self, key_id: str) -> ApiResponse:
        return self.call("DELETE", f"{COLLECTION}/{key_id}", query={"permanent": "true"})

    def rollback(self, key_id: str, **headers: str) -> ApiResponse:
        return self.send("POST", f"{COLLECTION}/{key_id}/rollback", **headers)

    def restore(self, key_id: str, body: object = None, **headers: str) -> ApiResponse:
        return self.send("POST", f"{COLLECTION}/{key_id}/restore", body, **headers)

    def history(self, key_id: str, **query: str) -> ApiResponse:
        return self.call("GET", f"{COLLECTION}/{key_id}/history", query=query)

    def verify(self, key_id: str) -> ApiResponse:
        return self.send("POST", f"{COLLECTION}/{key_id}/verify")

    def listing(self, **query: str) -> ApiResponse:
        return self.call("GET", COLLECTION, query=query)

    def services(self) -> ApiResponse:
        return self.call("GET", SERVICES_PATH)

    def pages(self, key_id: str | None = None, **query: str) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of the list, or those of a key's history."""
        get = self.listing if key_id is None else functools.partial(self.history, key_id)
        cursor = None
        while True:
            response = get(**query, **({"cursor": cursor} if cursor else {}))
            yield response.data
            cursor = response.body["pagination"]["nextCursor"]
            if cursor is None:
                return


def _routes(stack: LocalStack) -> list[Route]:
    """Return the routes of a stack, resolved once: that takes several milliseconds."""
    if stack.url not in _ROUTES:
        _ROUTES[stack.url] = stack.template.routes()
    return _ROUTES[stack.url]


_ROUTES: dict[str, list[Route]] = {}


class HttpAdmin(Admin):
    """An administrator who calls the API over HTTP with a token, which has no readable name, as events have none."""

    def __init__(self, stack: LocalStack, sub: str = "ada") -> None:
        super().__init__(stack, sub)
        self.token = stack.issuer.token(sub=sub, email=None)

    def _respond(
        self, method: str, path: str, body: str | bytes | None, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> ApiResponse:
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        encoded = body.encode() if isinstance(body, str) else body
        response = requests.request(
            method, self.stack.url + path, data=encoded, headers=sent, params=query, timeout=30, allow_redirects=False
        )
        return ApiResponse(response.status_code, response.headers, response.content.decode())


def change_at(at_ms: float, principal: str = "ada") -> ChangeContext:
    """Return the context of a change at a time, in milliseconds since the Unix epoch."""
    return ChangeContext(int(at_ms), principal, "made-up-request")


@dataclass
class Store:
    """Full access to the table and the KMS key, as an operator has."""

    dynamodb: DynamoDBClient
    kms: KMSClient
    table: str
    kms_key: str = field(repr=False)

    def recovery(self, **options: Any) -> KeyRecovery:
        """Return the table with every change, for changes at another time than now."""
        return KeyRecovery(self.dynamodb, self.table, **{"history_days": 400, **options})

    def items(self) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def current_items(self) -> list[dict[str, Any]]:
        """Return the items without the history and the deleted keys."""
        return [item for item in self.items() if item["service"]["S"] != "#history" and "deletedAt" not in item]

    def item(self, key_id: str) -> dict[str, Any]:
        (item,) = (item for item in self.items() if item["id"]["S"] == key_id)
        return item

    def partition(self, service: str) -> dict[str, dict[str, Any]]:
        """Return the items of a partition by their ids."""
        return {item["id"]["S"]: item for item in self.items() if item["service"]["S"] == service}

    def put(self, item: dict[str, Any]) -> None:
        self.dynamodb.put_item(TableName=self.table, Item=item)

    def change(self, key_id: str, **attributes: dict[str, Any] | None) -> None:
        """Set attributes of a key's item; None removes one."""
        item = self.item(key_id) | attributes
        self.put({name: value for name, value in item.items() if value is not None})

    def put_all(self, items: list[dict[str, Any]]) -> None:
        """Write many items in batches."""
        self._write([{"PutRequest": {"Item": item}} for item in items])

    def empty(self) -> list[dict[str, Any]]:
        """Delete all items; return them."""
        items = self.items()
        keys = [{name: item[name] for name in ("service", "id")} for item in items]
        self._write([{"DeleteRequest": {"Key": key}} for key in keys])
        return items

    def _write(self, writes: list[Any]) -> None:
        for start in range(0, len(writes), 25):
            written = self.dynamodb.batch_write_item(RequestItems={self.table: writes[start : start + 25]})
            assert not written["UnprocessedItems"]


@pytest.fixture(scope="session")
def fault_proxy() -> Iterator[FaultProxy]:
    with FaultProxy() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def fake_services() -> Iterator[FakeServices]:
    with FakeServices() as fake_services:
        yield fake_services


@pytest.fixture(scope="session")
def stack(
    fault_proxy: FaultProxy, fake_services: FakeServices, testrun_uid: str, worker_id: str
) -> Iterator[LocalStack]:
    table_name = f"service-keys-test-{testrun_uid}-{worker_id}"
    with pytest.MonkeyPatch.context() as patch:
        dynamodb_url = os.environ.get(DYNAMODB_ENDPOINT)
        if dynamodb_url:
            fault_proxy.upstreams["DynamoDB"] = dynamodb_url
            patch.setenv(DYNAMODB_ENDPOINT, fault_proxy.url)
        parameters = {"AwsEndpointUrl": fault_proxy.url, "DeletionProtection": "false"}
        with local_stack(parameters, fake_services_url=fake_services.url, table_name=table_name) as stack:
            fault_proxy.upstreams = {"DynamoDB": stack.endpoint_url, "KMS": stack.endpoint_url} | fault_proxy.upstreams
            fault_proxy.policies = policies_of(stack)
            # Stacks that tests start themselves do not use this proxy.
            patch.undo()
            yield stack
            with closing(_client("dynamodb", fault_proxy.upstreams["DynamoDB"])) as dynamodb:
                dynamodb.delete_table(TableName=table_name)


def policies_of(stack: LocalStack) -> Policies:
    """Read a stack's policies, with the table's ARN resolved to the one that calls contain."""
    region, account = (stack.template.resolve({"Ref": name}) for name in ("AWS::Region", "AWS::AccountId"))
    table = f"arn:aws:dynamodb:{region}:{account}:table/{stack.table_name}"
    return Policies.of(stack.template.with_references({"ApiKeysTable.Arn": table}))


@pytest.fixture(scope="session", autouse=True)
def retry_at_once() -> Iterator[None]:
    """Let botocore retry without its backoff of up to 1 s; the number of attempts stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
        yield


@pytest.fixture(scope="session", autouse=True)
def inspect_errors_for_leaks() -> Iterator[None]:
    """Inspect every error that a handler converts or that `ServiceKeys.get` raises."""
    get = ServiceKeys.get

    def watched_failure(error: Exception, log_fields: Mapping[str, object]) -> Response:
        LEAKS.inspect_error("an error in a handler", error)
        return _error_response(error, log_fields)

    def watched_get(self: ServiceKeys, service: str, **options: Any) -> ApiKey:
        try:
            return get(self, service, **options)
        except Exception as error:
            LEAKS.inspect_error("an error of a reader", error)
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoint, "_error_response", watched_failure)
        patch.setattr(ServiceKeys, "get", watched_get)
        yield


@pytest.fixture(autouse=True)
def enforce_iam_policies(fault_proxy: FaultProxy) -> Iterator[None]:
    """Fail every test in which a call exceeded its caller's IAM policy."""
    yield
    refused, fault_proxy.denials = fault_proxy.denials, []
    assert refused == []


@pytest.fixture(scope="session")
def clients(fault_proxy: FaultProxy, stack: LocalStack) -> Iterator[tuple[DynamoDBClient, KMSClient]]:
    """Clients that bypass the fault proxy: their calls are neither counted nor failed."""
    with (
        closing(_client("dynamodb", fault_proxy.upstreams["DynamoDB"])) as dynamodb,
        closing(_client("kms", fault_proxy.upstreams["KMS"])) as kms,
    ):
        yield dynamodb, kms


@pytest.fixture(scope="session")
def clients_of(stack: LocalStack, fault_proxy: FaultProxy) -> Iterator[ClientsOf]:
    """Create the package's own clients, connected to the fault proxy with the permissions of one principal."""

    @functools.cache
    def clients_of(
        principal: str, timeouts: Timeouts = CONSUMER_TIMEOUTS, *, kind: str = BOTOCORE
    ) -> tuple[DynamoDBClient, KMSClient]:
        proxied = {"AWS_ENDPOINT_URL": fault_proxy.url, "AWS_SDK_UA_APP_ID": principal, CLIENT_VARIABLE: kind}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (stack.consumer_environment() | proxied).items():
                patch.setenv(name, value)
            patch.delenv(DYNAMODB_ENDPOINT, raising=False)
            dynamodb, kms = consumer_clients.clients("dynamodb", "kms", timeouts=timeouts)
        if isinstance(dynamodb, DirectClient):
            # As `retry_at_once` for botocore.
            dynamodb._sleep = kms._sleep = lambda _: None
        exits.callback(dynamodb.close)
        exits.callback(kms.close)
        return dynamodb, kms

    with ExitStack() as exits:
        yield clients_of


def _client(service: str, url: str) -> Any:
    return botocore.session.Session().create_client(
        service,
        region_name=CREDENTIALS["AWS_REGION"],
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}),
    )


@pytest.fixture
def store(
    stack: LocalStack, fault_proxy: FaultProxy, clients: tuple[DynamoDBClient, KMSClient], fake_services: FakeServices
) -> Iterator[Store]:
    """An empty table, and fake services that accept every key."""
    fake_services.chosen = dict.fromkeys(fake_services.chosen, "valid")
    store = Store(*clients, table=stack.table_name, kms_key=stack.kms_key_arn)
    if fault_proxy.calls:
        store.empty()  # a test without this fixture may have left items
    fault_proxy.clear()
    yield store
    # Empty the table after a test, because the inspection needs the items too.
    LEAKS.inspect("the table", *store.empty())
    fault_proxy.clear()


@pytest.fixture(params=[DIRECT, BOTOCORE])
def client_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of the consumer's clients; `pytest_collection_modifyitems` marks some of the tests as slow."""
    kind: str = request.param
    # The direct client reads the credentials for each request.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, CREDENTIALS[name])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    return kind


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.callspec.params.get("client_kind") if hasattr(item, "callspec") else None
        if kind == BOTOCORE:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def consumer_of(clients_of: ClientsOf, client_kind: str, store: Store) -> ConsumerOf:
    """Create a consumer with an empty cache: by default, with permission to read all keys."""

    def consumer_of(principal: str = "ReadAllKeys", **options: Any) -> ServiceKeys:
        dynamodb, kms = clients_of(principal, kind=client_kind)
        return ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms, **options)

    return consumer_of


def admin_fixture(*kinds: type[Admin]) -> Any:
    """Return the fixture of an administrator of an empty table; each test with it runs with every kind."""

    @pytest.fixture(params=kinds, ids=["http" if kind is HttpAdmin else "event" for kind in kinds])
    def admin(request: pytest.FixtureRequest, stack: LocalStack, store: Store) -> Admin:
        kind: type[Admin] = request.param
        return kind(stack)

    return admin


admin = admin_fixture(Admin, HttpAdmin)
http = admin_fixture(HttpAdmin)
