"""First read: the processor time and the memory of a consumer's first secret, over TLS, beside bare calls and peers."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from benchmarks.candidates import ENVIRONMENT, link_packages
from benchmarks.canned_aws import RESPONSES, SECRET
from benchmarks.report import LAYER, Bound, Part, format_table, median_ratio, median_with_quartiles, show_progress
from tests.support.tls import certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTO3, OURS, OTHER_ROOT = "boto3's bare calls", "service_keys", "service_keys, other root"
BOTOCORE, POWERTOOLS, CACHING = "service_keys with botocore", "Powertools get_secret", "aws-secretsmanager-caching"
_MEBIBYTE: Final = 1024
_PEERS: Final = ("aws-lambda-powertools", "aws-secretsmanager-caching", "typing-extensions")
METHOD = """\
A fresh process imports one candidate and gets its first secret from a local server with TLS. The system's certificates
are trusted, and that of the server beside them. Processor time and peak memory (VmHWM) beyond an empty process.

AWS's endpoints have certificates of Amazon's roots, which the direct client loads first. The row `service_keys` has the
server's certificate among them; in `other root`, the client connects again with that root of the system's, as behind an
inspecting proxy. "boto3 loaded before" is a function that has imported boto3 for its own work: then the
figures begin after that import. A first read of `service_keys` is Query and Decrypt; of the peers, GetSecretValue."""

_READ: Final = "from service_keys import get_api_key\nsecret = get_api_key('openai').value"
_AMONG_AMAZONS: Final = (
    "import os\nfrom service_keys.store.direct import trust\ntrust._AMAZON_ROOTS += (os.environ['ROOT'].encode(),)\n"
)
_BARE: Final = """
import json
import boto3
dynamodb, kms = boto3.client("dynamodb"), boto3.client("kms")
(item,) = dynamodb.query(
    TableName="table", KeyConditionExpression="service = :service", ConsistentRead=True,
    ExpressionAttributeValues={":service": {"S": "openai"}},
)["Items"]
blob, context = item["ciphertext"]["B"], {"service": "openai", "id": item["id"]["S"]}
secret = json.loads(kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"])
"""
PROGRAMS: Final = {
    BOTO3: _BARE,
    OURS: _AMONG_AMAZONS + _READ,
    OTHER_ROOT: _READ,
    BOTOCORE: _READ,
    POWERTOOLS: "from aws_lambda_powertools.utilities import parameters\nsecret = parameters.get_secret('openai')",
    CACHING: "from aws_secretsmanager_caching import SecretCache\nsecret = SecretCache().get_secret_string('openai')",
}
_MEASURED: Final = """
import sys, time
{before}
def memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
cpu, peak = {start}
{program}
print(time.process_time() - cpu, memory() - peak, secret)
"""


def measure(*, quick: bool) -> Part:
    """Start each candidate once per round, alone and with boto3 loaded before."""
    rounds = 4 if quick else 12
    cpu: dict[tuple[str, bool], list[float]] = defaultdict(list)
    peak: dict[tuple[str, bool], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="service-keys-bench-") as folder, _server(Path(folder)) as environment:
        path = link_packages(Path(folder), "peers", _PEERS)
        # Discard round 0, which writes bytecode and fills the file cache.
        for number in range(rounds + 1):
            show_progress(f"first read: round {number} of {rounds}")
            idle = _run("secret = None", "", environment, path)
            for name, program in PROGRAMS.items():
                for preloaded in (False, True):
                    before = "import boto3" if preloaded else ""
                    client = {"SERVICE_KEYS_CLIENT": "botocore" if name == BOTOCORE else "direct"}
                    seconds, kibibytes = _run(program, before, environment | client, path)
                    if number:
                        floor = (0.0, 0.0) if preloaded else idle
                        cpu[name, preloaded].append(seconds - floor[0])
                        peak[name, preloaded].append(kibibytes - floor[1])

    def ratio(name: str, figures: dict[tuple[str, bool], list[float]] = cpu, *, preloaded: bool = False) -> float:
        return median_ratio(figures[name, preloaded], figures[BOTO3, preloaded])

    heading = ("", "ms", "of boto3's", "MiB", "of boto3's", "ms, boto3 loaded before", "of boto3's")
    rows = [
        (
            name,
            median_with_quartiles(cpu[name, False], 0, 1000),
            f"{ratio(name):.2f}",
            median_with_quartiles(peak[name, False], 1, 1 / _MEBIBYTE),
            f"{ratio(name, peak):.2f}",
            median_with_quartiles(cpu[name, True], 0, 1000),
            f"{ratio(name, preloaded=True):.2f}",
        )
        for name in PROGRAMS
    ]
    return Part(
        f"First read: {rounds} fresh processes each",
        METHOD,
        [format_table(heading, rows)],
        bounds=[
            Bound("first read, of boto3's bare calls", ratio(OURS), 0.18),
            Bound("first read with another root, of boto3's bare calls", ratio(OTHER_ROOT), 0.18),
            Bound("first read with boto3 loaded before, of its own calls", ratio(OURS, preloaded=True), 0.60),
            Bound("peak memory of a first read, of boto3's bare calls", ratio(OURS, peak), 0.30),
        ],
        readme=[
            (
                "first read on Lambda, in processor time, as a fraction of boto3's import, clients and calls",
                f"{ratio(OURS):.2f}",
                f"Powertools `get_secret` {ratio(POWERTOOLS):.2f}, aws-secretsmanager-caching {ratio(CACHING):.2f}",
            )
        ],
    )


def _run(program: str, before: str, environment: dict[str, str], path: str) -> tuple[float, float]:
    """Return the processor seconds and the KiB of peak memory of a program in a fresh process."""
    start = "time.process_time(), memory()" if before else "0, 0"
    code = _MEASURED.format(before=before, start=start, program=program)
    folders = [path, str(LAYER)] if "service_keys" in program else [path]
    ran = subprocess.run(
        [sys.executable, "-s", "-S", "-c", f"import sys\nsys.path[:0] = {folders!r}\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    seconds, kibibytes, secret = ran.stdout.split()
    if secret not in {SECRET, "None"}:
        message = f"a candidate got another secret: {program}"
        raise RuntimeError(message)
    return float(seconds), float(kibibytes)


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, str]]:
    """Run a fake of AWS with TLS; yield the environment of a process that uses it."""
    pem = certificate(folder)
    text = pem.read_text(encoding="ascii")
    own = text[text.index("-----BEGIN CERTIFICATE") :]
    system = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    bundle = folder / "bundle.pem"
    bundle.write_text(Path(system).read_text(encoding="utf-8") + own, encoding="utf-8")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            **{name: value for name, value in ENVIRONMENT.items() if name.startswith(("AWS_", "SERVICE_KEYS_"))},
            "AWS_ENDPOINT_URL": f"https://localhost:{server.server_port}",
            "AWS_CA_BUNDLE": str(bundle),
            "SSL_CERT_FILE": str(bundle),
            "ROOT": own.splitlines()[1],
            "PATH": os.environ["PATH"],
        }
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        secret = {"Name": "openai", "SecretString": SECRET, "VersionId": "v" * 32, "VersionStages": ["AWSCURRENT"]}
        described = {"Name": "openai", "VersionIdsToStages": {"v" * 32: ["AWSCURRENT"]}}
        more: dict[str, Any] = {"GetSecretValue": secret, "DescribeSecret": described}
        body = json.dumps(more.get(operation) or _response(operation)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Suppress the log."""


def _response(operation: str) -> dict[str, Any]:
    if operation == "Decrypt":
        return {"Plaintext": base64.b64encode(json.dumps(SECRET).encode()).decode(), "KeyId": "made-up"}
    return RESPONSES["Query of a consumer" if operation == "Query" else operation]
