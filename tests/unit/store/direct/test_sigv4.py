"""Tests of the signer: AWS's published cases, and generated requests compared with botocore's signer."""

from __future__ import annotations

import calendar
import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from service_keys.store.direct.sigv4 import Credentials, sign

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "sigv4_post.json").read_text(encoding="utf-8"))[
    "cases"
]
TEXT = "abcXYZ019 -_.~/:;,+=()*'\"!@#$%^&äß€密🔑"
VISIBLE = "abcXYZ019 -_.~/:;,+=()*'\"!@#$%^&"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_published_case_has_the_published_signature(case: dict[str, Any]) -> None:
    """Sign each request of aws-c-auth's suite that posts to / without a query."""
    context = case["context"]
    head, _, body = case["request"].partition("\n\n")
    given = dict(line.split(":", 1) for line in head.splitlines()[1:])
    host = given.pop("Host")
    if context["sign_body"]:
        given["X-Amz-Content-Sha256"] = case["canonicalRequest"].splitlines()[-1]
    known = context["credentials"]
    token = None if context.get("omit_session_token") else known.get("token")

    signed = sign(
        *("POST", host, "/", given, body.encode()),
        credentials=Credentials(known["access_key_id"], known["secret_access_key"], token),
        region=context["region"],
        service=context["service"],
        at=calendar.timegm(time.strptime(context["timestamp"], "%Y-%m-%dT%H:%M:%SZ")),
    )

    assert signed["authorization"].endswith(f", Signature={case['signature']}")
    assert f"SignedHeaders={case['canonicalRequest'].splitlines()[-2]}," in signed["authorization"]


def generated(chance: random.Random) -> dict[str, Any]:
    """Return a request with headers, credentials, region, host and time chosen at random."""

    def text(alphabet: str, longest: int) -> str:
        return "".join(chance.choices(alphabet, k=chance.randrange(longest)))

    headers = {
        f"{chance.choice(('X-Amz-', 'My-', 'content-'))}{chance.choice(('Target', 'type', 'A1', 'zz'))}": text(
            VISIBLE, 40
        )
        for _ in range(chance.randrange(6))
    }
    name = chance.choice(("dynamodb.eu-west-1.amazonaws.com", "kms.cn-north-1.amazonaws.com.cn", "127.0.0.1", "[::1]"))
    return {
        "scheme": chance.choice(("http", "https")),
        "host": name + chance.choice(("", ":8000", ":4566", ":443", ":80")),
        "headers": headers,
        "body": chance.choice((text(TEXT, 200).encode(), chance.randbytes(chance.randrange(100)), b"")),
        "access_key": "AKIA" + text("ABCXYZ234567", 17),
        "secret_key": "s" + text(VISIBLE.replace(" ", ""), 40),
        "token": chance.choice((None, "t" + text(VISIBLE.replace(" ", ""), 300))),
        "region": chance.choice(("eu-west-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5")),
        "service": chance.choice(("dynamodb", "kms")),
        "at": chance.randrange(0, 4_000_000_000),
    }


def signed_by_botocore(case: dict[str, Any]) -> dict[str, str]:
    request = AWSRequest("POST", f"{case['scheme']}://{case['host']}/", case["headers"], case["body"])
    credentials = BotocoreCredentials(case["access_key"], case["secret_key"], case["token"])
    fixed = mock.Mock(return_value=datetime.fromtimestamp(case["at"], UTC))
    with mock.patch.object(botocore.auth, "get_current_datetime", fixed):
        botocore.auth.SigV4Auth(credentials, case["service"], case["region"]).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def signed_directly(case: dict[str, Any]) -> dict[str, str]:
    default = {"http": ":80", "https": ":443"}[case["scheme"]]
    return sign(
        *("POST", case["host"].removesuffix(default), "/", case["headers"], case["body"]),
        credentials=Credentials(case["access_key"], case["secret_key"], case["token"]),
        region=case["region"],
        service=case["service"],
        at=case["at"],
    )


@pytest.mark.parametrize("number", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_generated_requests_are_signed_as_botocore_signs(number: int) -> None:
    """Compare the signature and every header of the signature; the seed is fixed."""
    chance = random.Random(number)
    for _ in range(number):
        case = generated(chance)
        own, reference = signed_directly(case), signed_by_botocore(case)
        for name in ("authorization", "x-amz-date", "x-amz-security-token"):
            assert own.get(name) == reference.get(name), case


def test_credentials_hide_their_text() -> None:
    """Show neither the keys nor the token."""
    assert repr(Credentials("AKIAMADEUP", "made-up-secret", "made-up-token")) == "Credentials(hidden)"
