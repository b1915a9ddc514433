"""The state that outlives moto: items and KMS keys before and after a restart, over HTTP and in one process."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models import dynamodb_backends
from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from local import moto_server
from local.aws import EmulatorError, create_resources
from local.aws import client as aws_client
from local.kept_state import KeptState
from local.port import bind
from local.state_file import StateError, StateFile
from local.template import ACCOUNT_ID, REGION, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Start = Callable[..., AbstractContextManager["Emulator"]]

TABLE = "things"
NOW = 1_800_000_000
SCHEMA: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("service", "id")],
    "KeySchema": [{"AttributeName": "service", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
    "BillingMode": "PAY_PER_REQUEST",
}
ITEM = {
    "service": {"S": "spotify"},
    "id": {"S": "spotify.1"},
    "ciphertext": {"B": b"\x00\xffmade up"},
    "version": {"N": "1"},
    "active": {"BOOL": True},
    "lastUsed": {"NULL": True},
    "masks": {"M": {"clientId": {"S": "••••cdef"}, "raw": {"B": b"\x01"}}},
    "changes": {"L": [{"N": "1.50"}, {"M": {"B": {"B": b"\x02"}}}]},
    "tags": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2"]},
    "blobs": {"BS": [b"\xfe", b"\xff"]},
}
TEMPLATE = Template(
    folder=Path(),
    cloudformation={
        "Resources": {
            "Things": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {**SCHEMA, "SSESpecification": {"SSEEnabled": True}},
            },
            "Secret": {"Type": "AWS::KMS::Key", "Properties": {"Description": "made up", "KeyPolicy": {}}},
        }
    },
    parameters={},
)
KEY = {"service": ITEM["service"], "id": ITEM["id"]}


class _Silent(WSGIRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


class Server:
    """moto over HTTP, at one address for all tests of this file, because AWS clients are slow to create."""

    def __init__(self) -> None:
        self.application: WSGIApplication = lambda *_: []
        self.server = make_server("127.0.0.1", 0, self.call, request_handler=_Silent)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.dynamodb, self.kms = (aws_client(name, self.url) for name in ("dynamodb", "kms"))

    def call(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.application(environ, start_response)

    def close(self) -> None:
        self.dynamodb.close()
        self.kms.close()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


@dataclass
class Emulator:
    """moto with a kept state."""

    url: str
    file: StateFile
    state: KeptState
    dynamodb: Any
    kms: Any

    def items(self) -> list[dict[str, Any]]:
        return sorted(
            self.dynamodb.scan(TableName=TABLE, ConsistentRead=True)["Items"], key=lambda item: str(item["id"])
        )

    def put(self, number: int, **attributes: Any) -> None:
        item = {**KEY, "id": {"S": f"spotify.{number}"}, **attributes}
        self.dynamodb.put_item(TableName=TABLE, Item=item)

    def create_table(self, **changes: Any) -> None:
        self.dynamodb.create_table(TableName=TABLE, **(SCHEMA | changes))

    def written(self) -> int:
        """Return the number of records that were written since the start."""
        return self.file._connection.total_changes


@pytest.fixture
def start(tmp_path: Path, server: Server) -> Start:
    """Start moto without anything in memory, and with the file of the earlier starts."""

    @contextmanager
    def start(*, table: bool = True) -> Iterator[Emulator]:
        dynamodb_backends[ACCOUNT_ID][REGION].reset()
        kms_backends[ACCOUNT_ID][REGION].reset()
        with closing(StateFile.open(tmp_path / "state.sqlite")) as file:
            state = KeptState(file, TABLE, clock=lambda: NOW)
            server.application = state.keeping(DomainDispatcherApplication(create_backend_app))
            emulator = Emulator(server.url, file, state, server.dynamodb, server.kms)
            if table:
                emulator.create_table()
            yield emulator

    return start


def test_items_come_back_with_every_type(start: Start) -> None:
    """Binary values stay binary, also nested and in sets."""
    with start() as emulator:
        emulator.dynamodb.put_item(TableName=TABLE, Item=ITEM)

    for _ in range(2):
        with start() as emulator:
            (item,) = emulator.items()
            assert {name: sorted(value["BS"]) if "BS" in value else value for name, value in item.items()} == {
                **ITEM,
                "blobs": [b"\xfe", b"\xff"],
            }


def test_every_kind_of_write_is_kept(start: Start) -> None:
    """Update, delete, batch, transaction and PartiQL; the items after a restart are those before it."""
    with start() as emulator:
        for number in range(6):
            emulator.put(number)
        dynamodb = emulator.dynamodb
        dynamodb.delete_item(TableName=TABLE, Key={**KEY, "id": {"S": "spotify.0"}})
        update = {
            "TableName": TABLE,
            "Key": KEY,
            "UpdateExpression": "SET lastUsed = :now REMOVE version ADD hits :one",
            "ExpressionAttributeValues": {":now": {"S": "today"}, ":one": {"N": "1"}},
        }
        dynamodb.update_item(**update)
        batch = [
            {"DeleteRequest": {"Key": {**KEY, "id": {"S": "spotify.2"}}}},
            {"PutRequest": {"Item": {**KEY, "id": {"S": "b"}}}},
        ]
        dynamodb.batch_write_item(RequestItems={TABLE: batch})
        dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": TABLE, "Item": {**KEY, "id": {"S": "t"}}}},
                {"Delete": {"TableName": TABLE, "Key": {**KEY, "id": {"S": "spotify.3"}}}},
                {"Update": update | {"Key": {**KEY, "id": {"S": "spotify.4"}}}},
                {"ConditionCheck": {"TableName": TABLE, "Key": KEY, "ConditionExpression": "attribute_exists(id)"}},
            ]
        )
        dynamodb.execute_statement(Statement=f"INSERT INTO \"{TABLE}\" value {{'service': 'spotify', 'id': 'partiql'}}")
        # An update expression on an ARN in place of the name.
        arn = dynamodb.describe_table(TableName=TABLE)["Table"]["TableArn"]
        dynamodb.put_item(TableName=arn, Item={**KEY, "id": {"S": "arn"}})
        before = emulator.items()

    with start() as emulator:
        assert emulator.items() == before
        assert [item["id"]["S"] for item in before] == [
            "arn",
            "b",
            "partiql",
            "spotify.1",
            "spotify.4",
            "spotify.5",
            "t",
        ]


def test_reads_and_refused_writes_cost_no_write(start: Start) -> None:
    """Only a change is written, and a failed transaction changes nothing."""
    with start() as emulator:
        emulator.put(1)
        key = emulator.kms.create_key()["KeyMetadata"]["KeyId"]
        before = emulator.written()
        emulator.items()
        emulator.dynamodb.query(
            TableName=TABLE, KeyConditionExpression="service = :s", ExpressionAttributeValues={":s": {"S": "spotify"}}
        )
        emulator.kms.decrypt(CiphertextBlob=emulator.kms.encrypt(KeyId=key, Plaintext=b"made up")["CiphertextBlob"])
        refused = {"TableName": TABLE, "Item": {**KEY, "id": {"S": "new"}}}
        never = {**refused, "ConditionExpression": "attribute_exists(id)"}
        with pytest.raises(ClientError, match="ConditionalCheckFailedException"):
            emulator.dynamodb.put_item(**never)
        with pytest.raises(ClientError, match="TransactionCanceledException"):
            emulator.dynamodb.transact_write_items(
                TransactItems=[{"Put": refused}, {"Put": never | {"Item": KEY | {"id": {"S": "n"}}}}]
            )
        emulator.put(1)
        assert emulator.written() == before
        emulator.put(2)
        assert emulator.written() == before + 1


def test_a_write_after_a_failed_transaction_is_kept(start: Start) -> None:
    """A failed transaction replaces moto's table object."""
    with start() as emulator:
        never = {"TableName": TABLE, "Item": KEY, "ConditionExpression": "attribute_exists(id)"}
        with pytest.raises(ClientError, match="TransactionCanceledException"):
            emulator.dynamodb.transact_write_items(TransactItems=[{"Put": never}])
        emulator.put(1)

    with start() as emulator:
        assert emulator.items() == [KEY]


def test_the_kms_key_stays(start: Start) -> None:
    """The next run uses the key of the one before: the same id and ARN, and its ciphertexts decrypt."""
    resources = []
    ciphertext, other, context = b"", "", {"service": "spotify"}
    for number in range(3):
        with start(table=False) as emulator:
            urls = {"kms_url": emulator.url, "dynamodb_url": emulator.url}
            resources.append(create_resources(TEMPLATE, table_name=TABLE, **urls).references)
            key_id = resources[-1]["Secret"]
            if not number:
                ciphertext = emulator.kms.encrypt(KeyId=key_id, Plaintext=b"made up", EncryptionContext=context)[
                    "CiphertextBlob"
                ]
                other = emulator.kms.create_key()["KeyMetadata"]["KeyId"]
                emulator.kms.disable_key(KeyId=other)
            decrypted = emulator.kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)
            assert decrypted["Plaintext"] == b"made up"
            assert decrypted["KeyId"] == resources[0]["Secret.Arn"]
            assert emulator.kms.describe_key(KeyId=other)["KeyMetadata"]["KeyState"] == "Disabled"
            # The third one is AWS's own for DynamoDB.
            assert len(emulator.kms.list_keys()["Keys"]) == 3

    assert resources[0] == resources[1] == resources[2]


def full(emulator: Emulator) -> None:
    """Let the next writes find no space."""
    pages = emulator.file._connection.execute("PRAGMA page_count").fetchone()[0]
    emulator.file._connection.execute(f"PRAGMA max_page_count = {pages}")


LARGE = {"description": {"S": "x" * 30_000}}


@pytest.mark.parametrize(
    "write",
    [
        lambda emulator: emulator.put(9, **LARGE),
        lambda emulator: emulator.put(1, **LARGE),
        lambda emulator: emulator.dynamodb.update_item(
            TableName=TABLE,
            Key=KEY,
            UpdateExpression="SET d = :d",
            ExpressionAttributeValues={":d": LARGE["description"]},
        ),
        lambda emulator: emulator.dynamodb.transact_write_items(
            TransactItems=[
                {"Delete": {"TableName": TABLE, "Key": KEY}},
                {"Put": {"TableName": TABLE, "Item": {**KEY, "id": {"S": "t"}, **LARGE}}},
            ]
        ),
        lambda emulator: emulator.dynamodb.batch_write_item(
            RequestItems={
                TABLE: [{"DeleteRequest": {"Key": KEY}}, {"PutRequest": {"Item": {**KEY, "id": {"S": "t"}, **LARGE}}}]
            }
        ),
    ],
    ids=["new item", "replaced item", "update", "transaction", "batch"],
)
def test_a_write_to_a_full_disk_is_refused_and_undone(
    start: Start, write: Callable[[Emulator], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The response and the terminal have the reason; the items are those before, in memory and on disk."""
    with start() as emulator:
        emulator.dynamodb.put_item(TableName=TABLE, Item=ITEM)
        emulator.put(2)
        before = emulator.items()
        full(emulator)
        with pytest.raises(ClientError, match=r"KeptStateError.*state\.sqlite cannot be written: .*full") as caught:
            write(emulator)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert emulator.items() == before
        emulator.dynamodb.delete_item(TableName=TABLE, Key={**KEY, "id": {"S": "spotify.2"}})

    assert "was refused and changed nothing: " in capsys.readouterr().out
    with start() as emulator:
        assert emulator.items() == before[:1]


def test_expired_items_are_removed_at_the_start(start: Start) -> None:
    """As by DynamoDB's TTL, by the attribute that the template has now; other numbers and types stay."""
    with start() as emulator:
        emulator.put(1, expiresAt={"N": str(NOW)})
        emulator.put(2, expiresAt={"N": str(NOW + 1)})
        emulator.put(3, expiresAt={"S": str(NOW - 9)})
        emulator.put(4)

    with start() as emulator:
        assert len(emulator.items()) == 4
        specification = {"AttributeName": "expiresAt", "Enabled": True}
        emulator.dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification=specification)
        assert [item["id"]["S"] for item in emulator.items()] == ["spotify.2", "spotify.3", "spotify.4"]

    with start() as emulator:
        assert len(emulator.items()) == 3


def test_items_come_back_into_a_table_with_another_index(start: Start) -> None:
    """An index of a later template finds items of before."""
    with start() as emulator:
        emulator.put(1, list={"S": "keys"})

    index = {
        "IndexName": "list",
        "KeySchema": [{"AttributeName": "list", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    definitions = [*SCHEMA["AttributeDefinitions"], {"AttributeName": "list", "AttributeType": "S"}]
    with start(table=False) as emulator:
        emulator.create_table(AttributeDefinitions=definitions, GlobalSecondaryIndexes=[index])
        query = {
            "KeyConditionExpression": "#l = :l",
            "ExpressionAttributeNames": {"#l": "list"},
            "ExpressionAttributeValues": {":l": {"S": "keys"}},
        }
        assert emulator.dynamodb.query(TableName=TABLE, IndexName="list", **query)["Count"] == 1


def test_items_come_back_into_a_table_with_another_key(start: Start) -> None:
    """A later change or removal concerns the same record."""
    with start() as emulator:
        emulator.put(1)
        emulator.put(2)

    other = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": SCHEMA["AttributeDefinitions"][1:],
    }
    with start(table=False) as emulator:
        emulator.create_table(**other)
        emulator.dynamodb.delete_item(TableName=TABLE, Key={"id": {"S": "spotify.1"}})
    with start(table=False) as emulator:
        emulator.create_table(**other)
        assert [item["id"]["S"] for item in emulator.items()] == ["spotify.2"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "createdAt",
            r"An item in \S+state\.sqlite does not fit the table in template\.yaml: .*Missing the key createdAt",
        ),
        ("service", r"Items in \S+state\.sqlite have the same key in the table in template\.yaml"),
    ],
)
def test_items_that_do_not_fit_the_table_are_reported(
    start: Start, key: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run does not start, and the items stay in the file."""
    with start() as emulator:
        emulator.put(1)
        emulator.put(2)

    with start(table=False) as emulator:
        schema = {
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
        }
        with pytest.raises(ClientError, match=rf"KeptStateError.*{message}.*start empty with `make run FRESH=1`"):
            emulator.create_table(**schema)
        # Neither a write nor an operation of unknown effect removes them then.
        operations: list[Callable[[], Any]] = [
            lambda: emulator.dynamodb.put_item(TableName=TABLE, Item={**KEY, "createdAt": {"S": "today"}}),
            lambda: emulator.dynamodb.update_time_to_live(
                TableName=TABLE, TimeToLiveSpecification={"AttributeName": "expiresAt", "Enabled": True}
            ),
            lambda: emulator.dynamodb.execute_statement(Statement=f"DELETE FROM \"{TABLE}\" WHERE createdAt='x'"),
        ]
        for operation in operations:
            with pytest.raises(
                ClientError, match=r"KeptStateError.*are not back in the table\. Start `make run` again"
            ):
                operation()
    with start() as emulator:
        assert len(emulator.items()) == 2


def test_an_error_of_the_kept_state_reaches_the_developer(start: Start) -> None:
    """The message of the start is the file's, without the words of the AWS client."""
    with start() as emulator:
        emulator.file.write("item", {"made-up": '{"id": {"S": "spotify.1"}}'})

    with start(table=False) as emulator, pytest.raises(EmulatorError, match=r"^An item in \S+ does not fit the table"):
        create_resources(TEMPLATE, table_name=TABLE, kms_url=emulator.url, dynamodb_url=emulator.url)


def test_a_deleted_table_is_emptied_and_others_are_not_kept(start: Start) -> None:
    """Only the stack's own table is kept, in its own region."""
    with start() as emulator:
        emulator.put(1)
        emulator.dynamodb.create_table(TableName="other", **SCHEMA)
        emulator.dynamodb.put_item(TableName="other", Item={**KEY, "id": {"S": "other"}})
        emulator.dynamodb.delete_table(TableName="other")

    with start() as emulator:
        assert [item["id"]["S"] for item in emulator.items()] == ["spotify.1"]
        emulator.dynamodb.delete_table(TableName=TABLE)
        emulator.create_table()
        assert emulator.items() == []


@pytest.mark.parametrize(
    "item", ["[]", "7", '{"id": 7}', '{"service": {"S": "s"}, "id": {}}', "no JSON", '{"id": {"S": null}}']
)
def test_a_record_that_is_no_item_is_reported(start: Start, item: str) -> None:
    """The message names the file, the record and the remedy."""
    with start() as emulator:
        emulator.file.write("item", {"made-up": item})

    with start(table=False) as emulator, pytest.raises(ClientError, match=r"state\.sqlite.*FRESH=1"):
        emulator.create_table()


@pytest.mark.parametrize("key", ["[]", "{}", '{"keyMaterial": "%"}', "no JSON"])
def test_a_record_that_is_no_kms_key_is_reported(start: Start, key: str) -> None:
    """The message names the file and the record."""
    with start() as emulator:
        emulator.file.write("kms-key", {"made-up": key})

    with pytest.raises(StateError, match=r"state\.sqlite is damaged: the KMS key 'made-up' is incomplete"), start():
        pass


def test_the_port_of_the_last_run_is_known(start: Start) -> None:
    """An env file or a shell of before the restart stays valid."""
    with start() as emulator:
        assert emulator.state.port == 0
        emulator.state.port = 40_123

    with start() as emulator:
        assert emulator.state.port == 40_123


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    """Another program may have taken it since the last run."""
    with closing(bind(0)) as taken, closing(moto_server._bind(taken.getsockname()[1])) as other:
        assert other.getsockname()[1] != taken.getsockname()[1]
