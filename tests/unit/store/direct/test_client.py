"""Tests of the direct client against a server with TLS: each promise of docs/decisions/30-a-direct-client.md."""

from __future__ import annotations

import base64
import gc
import json
import os
import socket
import ssl
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from service_keys.store.direct import errors
from service_keys.store.direct.client import (
    DYNAMODB_MAX_BYTES,
    KMS_MAX_BYTES,
    RETRYABLE_CODES,
    RETRYABLE_STATUSES,
    SKEW_CODES,
    DirectDynamoDB,
    DirectKMS,
)
from service_keys.store.direct.endpoints import Endpoint
from service_keys.store.timeouts import Timeouts
from tests.support.canary import CANARY, LEAKS
from tests.support.scripted_server import ScriptedServer, close, hang, in_pieces, reset, respond, then_close
from tests.support.tls import certificate
from tests.unit.store.direct.conftest import ACCESS_KEY, NOW, SECRET_KEY, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.scripted_server import Reply
    from tests.unit.store.direct.conftest import Create

QUERY: dict[str, Any] = {"TableName": "table"}
ITEM = {"id": {"S": "one.0123456789ab"}, "ciphertext": {"B": base64.b64encode(b"\x00\xff").decode()}}
PAGE = respond(body={"Items": [ITEM], "Count": 1})


def failure(code: str, status: int = 400, **headers: str) -> bytes:
    return respond(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": CANARY}, **headers)


def failed(act: Callable[[], object], kind: type[Exception]) -> Any:
    """Return the error of a call, after a search for secrets in it and its chain."""
    with pytest.raises(kind) as raised:
        act()
    LEAKS.inspect_error("an error of the direct client", raised.value)
    return raised.value


# --- requests and responses -----------------------------------------------------------------------------------------


def test_a_query_is_signed_and_its_items_are_decoded(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Send what botocore sends, ask for no compression, and return bytes as bytes."""
    server.replies.append(respond(body={"Items": [ITEM], "LastEvaluatedKey": {"id": {"B": "AP8="}}}))

    found = dynamodb.query(**QUERY, ExclusiveStartKey={"id": {"B": b"\xff\x00"}})

    assert found["Items"] == [ITEM | {"ciphertext": {"B": b"\x00\xff"}}]
    assert found["LastEvaluatedKey"] == {"id": {"B": b"\x00\xff"}}
    (request,) = server.requests
    assert json.loads(request.body) == QUERY | {"ExclusiveStartKey": {"id": {"B": "/wA="}}}
    assert request.headers["authorization"].startswith(
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20270115/eu-west-1/dynamodb/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature="
    )
    del request.headers["authorization"]  # type: ignore[attr-defined]
    assert request.headers == {
        "host": f"localhost:{server.port}",
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.Query",
        "x-amz-date": "20270115T080000Z",
        "x-amz-security-token": TOKEN,
        "user-agent": request.headers["user-agent"],
        "accept-encoding": "identity",
        "content-length": str(len(request.body)),
    }


def test_every_kind_of_attribute_is_decoded_as_botocore_does(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Decode bytes in sets, lists and maps, and leave other values."""
    encoded = base64.b64encode(b"bytes").decode()
    plain: list[dict[str, Any]] = [
        *({"S": "x"}, {"N": "1"}, {"BOOL": True}, {"NULL": True}, {"SS": ["x"]}, {"NS": ["1"]})
    ]
    nested = {"L": [{"B": encoded}, {"M": {"a": {"BS": [encoded]}}}, *plain]}
    server.replies.append(respond(body={"Items": [{"a": nested}]}))

    (item,) = dynamodb.query(**QUERY)["Items"]

    assert item == {"a": {"L": [{"B": b"bytes"}, {"M": {"a": {"BS": [b"bytes"]}}}, *plain]}}


def test_a_plaintext_is_decoded(server: ScriptedServer, create: Create) -> None:
    """Call KMS with its own target, content type and signing name."""
    server.replies.append(respond(body={"Plaintext": base64.b64encode(b'"text"').decode(), "KeyId": "x"}))

    found = create(DirectKMS).decrypt(CiphertextBlob=b"\xff\x00", EncryptionContext={"id": "ü"})

    assert found["Plaintext"] == b'"text"'
    (request,) = server.requests
    assert json.loads(request.body) == {"CiphertextBlob": "/wA=", "EncryptionContext": {"id": "ü"}}
    assert request.headers["x-amz-target"] == "TrentService.Decrypt"
    assert request.headers["content-type"] == "application/x-amz-json-1.1"
    assert "/eu-west-1/kms/aws4_request" in request.headers["authorization"]


def test_an_update_returns_the_response(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Return an empty response, and name the operation."""
    assert dynamodb.update_item(TableName="table", Key={"id": {"S": "x"}}) == {}
    assert server.requests[0].operation == "UpdateItem"


@pytest.mark.parametrize(
    ("app", "sent"), [("ReadAllKeys", " app/ReadAllKeys"), ("", ""), ("x\r\nX-A: 1", ""), ("x" * 51, "")]
)
def test_the_app_id_is_in_the_user_agent(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, create: Create, app: str, sent: str
) -> None:
    """Send AWS_SDK_UA_APP_ID as botocore does, unless it is malformed."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", app)

    create().update_item()

    name, _, rest = server.requests[0].headers["user-agent"].partition(" lang/python#")
    assert (name, rest.partition(" ")[1:]) == ("service-keys", tuple(sent.partition(" ")[1:]))


# --- credentials ----------------------------------------------------------------------------------------------------


def test_credentials_are_read_for_each_request(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, dynamodb: DirectDynamoDB
) -> None:
    """Sign with the key that the runtime placed last, also for the second attempt of a call."""

    def rotate(_: ScriptedServer, connection: socket.socket) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANEW")
        monkeypatch.delenv("AWS_SESSION_TOKEN")
        connection.sendall(failure("InternalServerError", 500))

    server.replies.append(rotate)

    dynamodb.query(**QUERY)

    first, second = server.requests
    assert f"Credential={ACCESS_KEY}/" in first.headers["authorization"]
    assert "Credential=AKIANEW/" in second.headers["authorization"]
    assert "x-amz-security-token" not in second.headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_ACCESS_KEY_ID", "x\r\nX-A: 1")),
        *(("AWS_SECRET_ACCESS_KEY", f"{CANARY}\udcff"), ("AWS_SECRET_ACCESS_KEY", f"{CANARY}\n")),
        *(("AWS_SESSION_TOKEN", "x\n"), ("AWS_SESSION_TOKEN", "t\u00f6ken"), ("AWS_ACCESS_KEY_ID", "a b")),
    ],
)
def test_unusable_credentials_are_not_sent(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, dynamodb: DirectDynamoDB, name: str, value: str
) -> None:
    """Raise NoCredentialsError without the value, and send nothing."""
    monkeypatch.setenv(name, value)

    failed(lambda: dynamodb.query(**QUERY), errors.NoCredentialsError)

    assert server.accepted == 0


# --- attempts -------------------------------------------------------------------------------------------------------


def test_the_retryable_errors_are_botocores() -> None:
    """Compare the codes and statuses with botocore's mode "standard"."""
    transient: Any = TransientRetryableChecker
    throttled: Any = ThrottledRetryableChecker
    modelled = {"ReplicatedWriteConflictException"}
    assert {*transient._TRANSIENT_ERROR_CODES, *throttled._THROTTLED_ERROR_CODES} | modelled == RETRYABLE_CODES
    assert set(transient._TRANSIENT_STATUS_CODES) == RETRYABLE_STATUSES


RETRIED: dict[str, Reply] = {
    **{code: failure(code) for code in sorted(RETRYABLE_CODES)},
    **{str(status): failure("Unheard", status) for status in sorted(RETRYABLE_STATUSES)},
    "HTML": respond(503, b"<html>busy</html>", Content_Type="text/html"),
    "empty": respond(500, b""),
    "closed": close,
    "reset": reset,
    "truncated": then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"),
    "wrong checksum": respond(body={"Items": []}, X_Amz_Crc32="1"),
}


@pytest.mark.parametrize("title", RETRIED)
def test_a_transient_error_is_retried_once(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float], title: str
) -> None:
    """Wait for up to a second at random, and call again."""
    server.replies.extend([RETRIED[title], PAGE])

    assert dynamodb.query(**QUERY)["Count"] == 1

    assert len(server.requests) == 2
    assert waits == [0.5]


@pytest.mark.parametrize("title", ["ThrottlingException", "500", "HTML", "empty", "closed", "reset", "wrong checksum"])
def test_the_second_transient_error_is_raised(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float], title: str
) -> None:
    """Raise the error of the second attempt."""
    server.replies.extend([RETRIED[title]] * 3)

    failed(lambda: dynamodb.query(**QUERY), errors.DirectError)

    assert len(server.requests) == 2
    assert len(waits) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 501, 505])
@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
def test_another_error_is_raised_at_once(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float], code: str, status: int
) -> None:
    """Raise errors that a repeated call would not change."""
    server.replies.append(failure(code, status))

    error = failed(lambda: dynamodb.query(**QUERY), errors.ResponseError)

    assert (error.code, error.status, error.operation_name) == (code, status, "Query")
    assert error.response == {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert (len(server.requests), waits) == (1, [])


ERROR_FORMS: dict[str, tuple[bytes, str]] = {
    "namespace": (respond(400, {"__type": "com.amazonaws.x#MadeUp"}), "MadeUp"),
    "plain": (respond(400, {"__type": "MadeUp"}), "MadeUp"),
    "URI": (respond(400, {"__type": "MadeUp:http://internal.amazon.com/x#y"}), "MadeUp"),
    "both": (respond(400, {"__type": "com.amazonaws.x#MadeUp:http://internal.amazon.com/"}), "MadeUp"),
    "code": (respond(400, {"code": "MadeUp"}), "MadeUp"),
    "header": (respond(400, b"{}", x_amzn_ErrorType="MadeUp:http://internal.amazon.com/"), "MadeUp"),
    "header without JSON": (respond(400, b"", x_amzn_ErrorType="MadeUp"), "MadeUp"),
    "HTML": (respond(413, b"<html>#MadeUp</html>"), "413"),
    "no JSON object": (respond(400, b"[]"), "400"),
    "no code": (respond(400, b"{}"), "400"),
    "number": (respond(400, {"__type": 5}), "400"),
    "text": (respond(400, {"__type": f"x#{CANARY} is not a code"}), "400"),
    "long": (respond(400, {"__type": "x" * 101}), "400"),
    "name of a class": (respond(400, {"__type": "TransportError"}), "TransportError"),
    "redirect": (respond(307, b"", Location="https://example.com/"), "307"),
}


@pytest.mark.parametrize("title", ERROR_FORMS)
def test_the_code_of_an_error_is_found(server: ScriptedServer, dynamodb: DirectDynamoDB, title: str) -> None:
    """Read the forms of AWS's errors; use the status for other responses."""
    reply, code = ERROR_FORMS[title]
    server.replies.append(reply)

    error = failed(lambda: dynamodb.query(**QUERY), errors.ResponseError)

    assert error.code == code
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "code", ["ConditionalCheckFailedException", "InvalidCiphertextException", "IncorrectKeyException"]
)
def test_an_expected_error_has_a_type(server: ScriptedServer, dynamodb: DirectDynamoDB, code: str) -> None:
    """Raise the type that `exceptions` of the client holds, as botocore's clients do."""
    server.replies.append(failure(code))

    failed(dynamodb.update_item, getattr(dynamodb.exceptions, code))


@pytest.mark.parametrize(
    "reply",
    [
        *(
            respond(body=b"[]"),
            respond(body=b""),
            respond(body=b"{"),
            respond(body=b"\xff"),
            respond(body=b"[" * 100_000),
        ),
        *(respond(body=b"{}", Content_Encoding="gzip"), b"SSH-2.0-x\r\n\r\n"),
        *(respond(body={"Items": [5]}), respond(body={"Items": [{"a": {"B": 5}}]}), respond(body={"Items": 5})),
        *(respond(body={"Items": [{"a": {}}]}), respond(body={"Items": [], "LastEvaluatedKey": [1]})),
    ],
)
def test_an_unreadable_response_is_raised(server: ScriptedServer, dynamodb: DirectDynamoDB, reply: bytes) -> None:
    """Raise UnreadableResponseError at once, as botocore raises ResponseParserError."""
    server.replies.append(reply)

    failed(lambda: dynamodb.query(**QUERY), errors.UnreadableResponseError)

    assert len(server.requests) == 1


@pytest.mark.parametrize("plaintext", [5, None, f"{CANARY}!", "ü"])
def test_a_malformed_plaintext_is_not_in_the_error(server: ScriptedServer, create: Create, plaintext: object) -> None:
    """Raise UnreadableResponseError without the value."""
    server.replies.append(respond(body={"Plaintext": plaintext}))

    failed(lambda: create(DirectKMS).decrypt(CiphertextBlob=b"x"), errors.UnreadableResponseError)


# --- checksum and size ----------------------------------------------------------------------------------------------


def test_the_checksum_is_computed_over_the_bytes_on_the_wire(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Accept a chunked body whose CRC32 is that of its content."""
    body = json.dumps({"Items": [ITEM], "Count": 1}).encode()
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:20], body[20:]))
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amz-crc32: {zlib.crc32(body)}\r\n\r\n".encode()
    server.replies.append(in_pieces(head + chunks + b"0\r\n\r\n", 11))

    assert dynamodb.query(**QUERY)["Count"] == 1
    assert len(server.requests) == 1


def test_a_full_page_is_read(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Read 1 MB of characters that JSON escapes."""
    text = "\x01" * 1_000_000
    server.replies.append(respond(body={"Items": [{"a": {"S": text}}]}))

    assert dynamodb.query(**QUERY)["Items"] == [{"a": {"S": text}}]


@pytest.mark.parametrize(("kind", "limit"), [(DirectDynamoDB, DYNAMODB_MAX_BYTES), (DirectKMS, KMS_MAX_BYTES)])
def test_a_larger_response_is_not_read(server: ScriptedServer, create: Create, kind: type[Any], limit: int) -> None:
    """Raise UnreadableResponseError on the length, before the body arrives."""
    server.replies.append(f"HTTP/1.1 200 OK\r\nContent-Length: {limit + 1}\r\n\r\n".encode())
    client = create(kind)

    failed(client.query if kind is DirectDynamoDB else client.decrypt, errors.UnreadableResponseError)


# --- connections ----------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_alive(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Send many requests on one connection, also after an error response."""
    server.replies.extend([PAGE, failure("ValidationException"), PAGE])
    dynamodb.query(**QUERY)
    failed(lambda: dynamodb.query(**QUERY), errors.ResponseError)
    for _ in range(5):
        dynamodb.query(**QUERY)

    assert server.accepted == 1


@pytest.mark.parametrize(
    "reply",
    [
        respond(body=b"{}", Connection="close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        then_close(b"HTTP/1.1 200 OK\r\n\r\n{}"),
        respond(body=b"{}") + b"more",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["close", "HTTP/1.0", "no length", "more bytes", "unreadable"],
)
def test_a_connection_is_not_used_again(server: ScriptedServer, dynamodb: DirectDynamoDB, reply: Reply) -> None:
    """Open a new connection if the first one ends, or if its state is unclear."""
    server.replies.append(reply)
    for _ in range(2):
        with suppress(errors.UnreadableResponseError):
            dynamodb.query(**QUERY)

    assert server.accepted == 2


def test_a_connection_that_the_server_closed_is_replaced(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float]
) -> None:
    """Notice the end of an idle connection before it is used."""
    dynamodb.query(**QUERY)
    server.hang_up()
    assert server.closed.acquire(timeout=10)

    dynamodb.query(**QUERY)

    assert (server.accepted, waits) == (2, [])


@pytest.mark.parametrize("reply", [close, reset], ids=["closed", "reset"])
def test_a_stale_connection_does_not_count_as_an_attempt(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float], reply: Reply
) -> None:
    """Replace a kept-alive connection that ends when it is used; the call still has two attempts."""
    dynamodb.query(**QUERY)
    server.replies.extend([reply, failure("ThrottlingException"), PAGE])

    assert dynamodb.query(**QUERY)["Count"] == 1

    assert [len(server.requests), server.accepted] == [4, 2]
    assert waits == [0.5]


def test_stale_connections_of_many_threads_are_all_replaced(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float]
) -> None:
    """Skip every connection that ended in a freeze within one call."""
    use_at_once(server, dynamodb, 4)
    server.replies.extend([reset, reset, reset, close, PAGE])

    assert dynamodb.query(**QUERY)["Count"] == 1

    assert (len(server.requests), waits) == (9, [])


def test_a_first_connection_that_ends_counts_as_an_attempt(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float]
) -> None:
    """Count a new connection that ends without a response."""
    server.replies.extend([close, close, PAGE])

    failed(lambda: dynamodb.query(**QUERY), errors.ConnectionClosedError)

    assert (len(server.requests), len(waits)) == (2, 1)


def test_a_broken_response_on_a_kept_alive_connection_counts(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float]
) -> None:
    """Count an attempt whose response had begun: AWS has processed the call."""
    dynamodb.query(**QUERY)
    server.replies.extend([then_close(b"HTTP/1.1 200 OK\r\nContent-Le"), PAGE])

    assert dynamodb.query(**QUERY)["Count"] == 1

    assert waits == [0.5]


@pytest.mark.parametrize(("seconds", "accepted"), [(0, 1), (49.9, 1), (50, 2), (-1, 2), (3600, 2)])
def test_a_connection_that_was_idle_for_long_is_replaced(
    server: ScriptedServer, create: Create, seconds: float, accepted: int
) -> None:
    """Compare the wall clock, which also runs while the execution environment is frozen."""
    now = [NOW]
    dynamodb = create(clock=lambda: now[0])
    dynamodb.query(**QUERY)
    now[0] += seconds

    dynamodb.query(**QUERY)

    assert server.accepted == accepted


def test_close_ends_idle_connections(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Close the idle connections, and open a new one for the next call."""
    use_at_once(server, dynamodb, 3)

    dynamodb.close()

    for _ in range(3):
        assert server.closed.acquire(timeout=10)
    dynamodb.query(**QUERY)
    assert server.accepted == 4


def test_a_forgotten_client_closes_its_connections(server: ScriptedServer) -> None:
    """Close sockets without a ResourceWarning when the client is collected."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forgotten = DirectDynamoDB("dynamodb", Endpoint("localhost", server.port), "eu-west-1", Timeouts(30, 30))
        forgotten.query(**QUERY)
        del forgotten
        gc.collect()

    assert server.closed.acquire(timeout=10)


def use_at_once(server: ScriptedServer, dynamodb: DirectDynamoDB, number: int) -> None:
    """Make calls in threads that wait for each other, so that each has a connection of its own."""
    barrier = threading.Barrier(number)

    def meet(_: ScriptedServer, connection: socket.socket) -> None:
        barrier.wait(10)
        connection.sendall(PAGE)

    server.replies.extend([meet] * number)
    with ThreadPoolExecutor(number) as pool:
        assert [found["Count"] for found in pool.map(lambda _: dynamodb.query(**QUERY), range(number))] == [1] * number
    assert server.accepted == number


def test_threads_share_a_client(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Return each thread the response to its own request, with at most one connection for each thread."""

    def echo(_: ScriptedServer, connection: socket.socket) -> None:
        port = connection.getpeername()[1]
        sent = next(request for request in reversed(server.requests) if request.port == port)
        connection.sendall(respond(body={"Items": [{"id": {"S": json.loads(sent.body)["TableName"]}}]}))

    server.replies.extend([echo] * 400)

    def call(number: int) -> bool:
        items: list[Any] = dynamodb.query(TableName=f"table-{number}")["Items"]
        return items == [{"id": {"S": f"table-{number}"}}]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(400)))
    assert server.accepted <= 8


def test_idle_connections_are_limited(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Keep at most ten connections after a burst."""
    use_at_once(server, dynamodb, 14)

    assert len(dynamodb._pool._idle) == 10


# --- timeouts -------------------------------------------------------------------------------------------------------


def test_a_silent_server_is_a_read_timeout(server: ScriptedServer, create: Create, waits: list[float]) -> None:
    """Wait for the response in each of two attempts."""
    server.replies.extend([hang, hang])

    failed(lambda: create(timeouts=Timeouts(30, 0.05)).query(**QUERY), errors.ReadTimeoutError)

    assert (len(server.requests), len(waits)) == (2, 1)


def test_the_read_timeout_limits_the_whole_response(server: ScriptedServer, create: Create) -> None:
    """Stop reading a response that arrives byte by byte, although no byte keeps the client waiting for long."""
    server.replies.extend([in_pieces(PAGE)] * 2)
    now = [0.0]

    def monotonic() -> float:
        now[0] += 0.3
        return now[0]

    failed(lambda: create(monotonic=monotonic, timeouts=Timeouts(30, 3)).query(**QUERY), errors.ReadTimeoutError)


def test_the_certificates_do_not_use_up_the_connect_timeout(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, create: Create
) -> None:
    """Start the time after the certificates are loaded, which takes long at Lambda's share of a processor."""
    now = [0.0]
    load = ssl.SSLContext.load_default_certs

    def slow(*arguments: Any) -> None:
        now[0] += 60
        load(*arguments)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", slow)

    create(monotonic=lambda: now[0], timeouts=Timeouts(20, 20)).query(**QUERY)


@pytest.fixture
def silent_address() -> Iterator[tuple[str, int]]:
    """An address that accepts no connection: with a full backlog, Linux drops further ones."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


def test_a_connect_timeout_is_raised(create: Create, waits: list[float], silent_address: tuple[str, int]) -> None:
    """Raise ConnectTimeoutError after two attempts."""
    host, port = silent_address

    failed(lambda: create(host=host, port=port, timeouts=Timeouts(0.05, 30)).query(**QUERY), errors.ConnectTimeoutError)

    assert len(waits) == 1


def test_a_handshake_without_answer_is_a_connect_timeout(create: Create) -> None:
    """Limit TCP and TLS together."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = create(port=listener.getsockname()[1], host="127.0.0.1", timeouts=Timeouts(0.05, 30))
        failed(lambda: client.query(**QUERY), errors.ConnectTimeoutError)


def test_a_closed_port_is_no_connection(create: Create, waits: list[float]) -> None:
    """Raise EndpointConnectionError after two attempts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    failed(lambda: create(port=port, host="127.0.0.1").query(**QUERY), errors.EndpointConnectionError)

    assert len(waits) == 1


def test_an_unknown_host_is_no_connection(create: Create) -> None:
    """Raise EndpointConnectionError if DNS knows no address."""
    failed(lambda: create(host="made-up.invalid").query(**QUERY), errors.EndpointConnectionError)


def test_the_next_address_is_tried(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, create: Create, silent_address: tuple[str, int]
) -> None:
    """Fall back from IPv6 to IPv4, past addresses that refuse, are unreachable or stay silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = listener.getsockname()
    stream = (socket.SOCK_STREAM, 6, "")
    addresses = [
        (socket.AF_INET6, *stream, ("::1", 9, 0, 0)),
        (socket.AF_INET6, *stream, ("2001:db8::1", 443, 0, 0)),
        (socket.AF_INET, *stream, refused),
        (socket.AF_INET, *stream, silent_address),
        (socket.AF_INET, *stream, ("127.0.0.1", server.port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)

    assert create(timeouts=Timeouts(1, 30)).query(**QUERY) == {}

    assert len(server.requests) == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_an_ipv6_address_is_used(pem: Path, create: Create) -> None:
    """Send the address in brackets in the Host header."""
    try:
        server = ScriptedServer(host="::1")
    except OSError:
        pytest.skip("needs the address ::1")
    with server:
        create(host="::1", port=server.port, tls=False).query(**QUERY)
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


# --- TLS ------------------------------------------------------------------------------------------------------------


def test_an_unknown_certificate_is_rejected(
    server: ScriptedServer, create: Create, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raise CertificateError, and send no request."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path)))

    failed(lambda: create().query(**QUERY), errors.CertificateError)

    assert server.requests == []


def test_the_certificate_of_another_host_is_rejected(server: ScriptedServer, create: Create) -> None:
    """Compare the name of the host with the certificate."""
    failed(lambda: create(host="127.0.0.2", port=server.port).query(**QUERY), errors.DirectError)
    assert server.requests == []


def test_a_server_without_tls_gets_no_request(create: Create) -> None:
    """Raise SSLError, and never fall back to clear text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        received: list[bytes] = []

        def serve() -> None:
            for _ in range(2):
                accepted, _address = listener.accept()
                with accepted:
                    received.append(accepted.recv(65536))
                    accepted.sendall(PAGE)

        thread = threading.Thread(target=serve)
        thread.start()
        failed(lambda: create(port=listener.getsockname()[1]).query(**QUERY), errors.SSLError)
        thread.join(10)
    assert all(raw.startswith(b"\x16\x03") for raw in received)


def test_an_old_tls_version_is_rejected(pem: Path, create: Create) -> None:
    """Require TLS 1.2."""
    with ScriptedServer(pem) as old:
        assert old._context is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old._context.minimum_version = ssl.TLSVersion.TLSv1
            old._context.maximum_version = ssl.TLSVersion.TLSv1_1
        failed(lambda: create(port=old.port).query(**QUERY), errors.TransportError)
        assert old.requests == []


# --- clock ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(SKEW_CODES))
@pytest.mark.parametrize("skew", [3600, -3600, 86_400 * 400])
def test_a_wrong_clock_is_corrected_once_and_remembered(
    server: ScriptedServer, dynamodb: DirectDynamoDB, waits: list[float], code: str, skew: int
) -> None:
    """Sign again with the server's time, at once, and sign later calls with it."""
    server.replies.extend([failure(code, 403, Date=formatdate(NOW + skew, usegmt=True)), PAGE, PAGE])

    for _ in range(2):
        assert dynamodb.query(**QUERY)["Count"] == 1

    signed_at = [request.headers["x-amz-date"] for request in server.requests]
    assert len(signed_at) == 3
    assert signed_at[0] == "20270115T080000Z"
    assert signed_at[1] == signed_at[2] != signed_at[0]
    assert waits == []


def test_a_clock_is_corrected_at_most_once_per_call(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Raise the second error, although its time differs again."""
    for skew in (3600, 7200, 10_800):
        server.replies.append(failure("RequestTimeTooSkewed", 403, Date=formatdate(NOW + skew, usegmt=True)))

    failed(lambda: dynamodb.query(**QUERY), errors.ResponseError)

    assert len(server.requests) == 2


def test_a_clock_that_becomes_right_is_corrected_again(server: ScriptedServer, create: Create) -> None:
    """Drop the difference when the server's time equals the clock's."""
    now = [NOW]
    dynamodb = create(clock=lambda: now[0])
    server.replies.extend([failure("RequestTimeTooSkewed", 403, Date=formatdate(NOW + 3600, usegmt=True)), PAGE])
    dynamodb.query(**QUERY)
    now[0] += 3600
    server.replies.extend([failure("RequestTimeTooSkewed", 403, Date=formatdate(NOW + 3600, usegmt=True)), PAGE])

    dynamodb.query(**QUERY)

    assert [request.headers["x-amz-date"] for request in server.requests][-1] == "20270115T090000Z"


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        ("InvalidSignatureException", {"Date": formatdate(NOW + 200, usegmt=True)}),
        ("InvalidSignatureException", {}),
        ("InvalidSignatureException", {"Date": "yesterday"}),
        ("InvalidSignatureException", {"Date": "Fri, 99 Foo 2027 99:00:00 GMT"}),
        ("AccessDeniedException", {"Date": formatdate(NOW + 3600, usegmt=True)}),
    ],
)
def test_another_cause_is_not_taken_for_a_wrong_clock(
    server: ScriptedServer, dynamodb: DirectDynamoDB, code: str, headers: dict[str, str]
) -> None:
    """Raise the error if the times agree, or the server sent none."""
    server.replies.append(failure(code, 403, **headers))

    failed(lambda: dynamodb.query(**QUERY), errors.ResponseError)

    assert len(server.requests) == 1


# --- secrets and processes ------------------------------------------------------------------------------------------


def test_no_text_of_a_client_contains_a_secret(dynamodb: DirectDynamoDB, server: ScriptedServer) -> None:
    """Show the endpoint only."""
    dynamodb.query(**QUERY)

    assert repr(dynamodb) == f"<DirectDynamoDB https://localhost:{server.port}>"
    for text in (SECRET_KEY, TOKEN):
        assert text not in repr(vars(dynamodb)) + repr(vars(dynamodb._pool))


def test_an_interrupted_request_closes_its_connection(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Close the connection after KeyboardInterrupt, so that no later call reads the response."""
    dynamodb.query(**QUERY)
    ((open_connection, _),) = dynamodb._pool._idle

    def interrupt() -> float:
        raise KeyboardInterrupt

    open_connection._clock = interrupt
    with pytest.raises(KeyboardInterrupt):
        dynamodb.query(**QUERY)
    dynamodb.query(**QUERY)

    assert server.accepted == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_closes_nothing_of_the_parent(server: ScriptedServer, dynamodb: DirectDynamoDB) -> None:
    """Close the child's copies without a message on the wire; the parent's connection stays usable."""
    dynamodb.query(**QUERY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            dynamodb.close()
            dynamodb.query(**QUERY)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    dynamodb.query(**QUERY)

    assert server.accepted == 2
    assert server.ports[0] == server.ports[2] != server.ports[1]
