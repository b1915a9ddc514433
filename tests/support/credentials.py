"""Credentials by title: the service and its key, in the formats of the services, with made-up values.

The formats come from the services' public documentation. Values are built at run time, so that secret scanners do not
report this file.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from tests.support.canary import CANARY

HEX: Final = (CANARY + "0123456789abcdef" * 8).replace("g", "0")
WORDS: Final = f"MadeUp{CANARY}" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789" * 6


def _hex(length: int) -> str:
    return HEX[:length]


def _text(length: int) -> str:
    return WORDS[:length]


def _pem(label: str, size: int, *, width: int = 64, newline: str = "\n", final: str = "\n") -> str:
    """Return a key file with ``size`` made-up bytes, in lines of 64 characters (RFC 7468) or 70 (OpenSSH)."""
    encoded = base64.b64encode((f"made up {CANARY} " * (size // 20 + 1)).encode()[:size]).decode()
    lines = [encoded[at : at + width] for at in range(0, len(encoded), width)]
    return newline.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"]) + final


GOOGLE_SERVICE_ACCOUNT: Final = {
    "type": "service_account",
    "project_id": "made-up-project-123456",
    "private_key_id": _hex(40),
    "private_key": _pem("PRIVATE KEY", 1218),
    "client_email": "made-up@made-up-project-123456.iam.gserviceaccount.com",
    "client_id": "123456789012345678901",
    "auth_uri": "https://accounts.google.com/o/oauth2/auth",
    "token_uri": "https://oauth2.googleapis.com/token",
    "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
    "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/made-up%40made-up-project-123456.iam."
    "gserviceaccount.com",
    "universe_domain": "googleapis.com",
}
_OAUTH_CLIENT: Final = {
    "web": {
        "client_id": "123456789012-" + _hex(32) + ".apps.googleusercontent.com",
        "client_secret": "GOCSPX-" + _text(28),
        "redirect_uris": ["https://app.example.com/callback"],
    }
}

CREDENTIALS: Final[dict[str, tuple[str, str | dict[str, str]]]] = {
    "Spotify": ("spotify", {"clientId": _hex(32), "clientSecret": _hex(32)[::-1]}),
    "OpenAI project key": ("openai", "sk-" + "proj-" + _text(74) + "_T3Blbk" + "FJ-" + _text(74)),
    "OpenAI service account": ("openai", {"apiKey": "sk-" + "svcacct-" + _text(80), "project": "proj_" + _text(24)}),
    "Anthropic": ("anthropic", "sk-" + "ant-api03-" + _text(86) + "-" + _text(6) + "AA"),
    "Google service account, object": ("google", GOOGLE_SERVICE_ACCOUNT),
    "Google service account, file": ("google", json.dumps(GOOGLE_SERVICE_ACCOUNT, indent=2) + "\n"),
    "Google API key": ("google-maps", "AI" + "zaSy" + _text(33)),
    "Google OAuth client, file": ("google-oauth", json.dumps(_OAUTH_CLIENT)),
    "Firebase web app": (
        "firebase",
        {
            "apiKey": "AI" + "zaSy" + _text(33),
            "authDomain": "made-up.firebaseapp.com",
            "projectId": "made-up",
            "storageBucket": "made-up.appspot.com",
            "messagingSenderId": "123456789012",
            "appId": "1:123456789012:web:" + _hex(22),
            "measurementId": "G-MADEUP1234",
        },
    ),
    "GitHub fine-grained token": ("github", "github" + "_pat_" + _text(22) + "_" + _text(59)),
    "GitHub classic token": ("github", "gh" + "p_" + _text(36)),
    "GitHub App": ("github-app", {"appId": "123456", "privateKey": _pem("RSA PRIVATE KEY", 1190)}),
    "GitLab": ("gitlab", "gl" + "pat-" + _text(20)),
    "Apple MusicKit": (
        "apple-music",
        {"teamId": "ABCDE12345", "keyId": "F6G7H8J9K0", "privateKey": _pem("PRIVATE KEY", 150, final="")},
    ),
    "Apple .p8 file": ("apple-push", _pem("PRIVATE KEY", 150)),
    "AWS access key": (
        "aws",
        {
            "aws_access_key_id": "AK" + "IAMADEUPMADEUP1234"[:18],
            "aws_secret_access_key": _text(20) + "/+" + _text(18),
            "region": "eu-west-1",
        },
    ),
    "Stripe": ("stripe", "sk" + "_live_51" + _text(97)),
    "Stripe with webhook": (
        "stripe",
        {"secretKey": "rk" + "_test_51" + _text(97), "webhookSecret": "wh" + "sec_" + _hex(32)},
    ),
    "Twilio": ("twilio", {"accountSid": "AC" + _hex(32), "authToken": _hex(32)}),
    "SendGrid": ("sendgrid", "S" + "G." + _text(22) + "." + _text(43)),
    "Mailgun": ("mailgun", _hex(32) + "-" + _hex(8) + "-" + _hex(8)),
    "Postmark": ("postmark", "12345678-" + _hex(4) + "-4abc-8def-" + _hex(12)),
    "Slack bot": ("slack", "xo" + "xb-123456789012-1234567890123-" + _text(24)),
    "Slack webhook": ("slack", "https://hooks.slack" + ".com/services/T0MADEUP0/B0MADEUP0/" + _text(24)),
    "Discord bot": ("discord", "MTIz" + _text(22) + "." + "GMade_" + "." + _text(38)),
    "Telegram bot": ("telegram", "1234567890:AA" + _text(33)),
    "Sentry DSN": ("sentry", "https://" + _hex(32) + "@o123456.ingest.de.sentry.io/4501234567890123"),
    "Datadog": ("datadog", {"DD-API-KEY": _hex(32), "DD-APPLICATION-KEY": _hex(40), "site": "datadoghq.eu"}),
    "Cloudflare": ("cloudflare", _text(37) + "-_0"),
    "Azure storage": (
        "azure-storage",
        "DefaultEndpointsProtocol=https;AccountName=madeup;AccountKey="
        + base64.b64encode(f"made up {CANARY} ".encode() * 4).decode()[:86]
        + "==;EndpointSuffix=core.windows.net",
    ),
    "Azure app": (
        "azure",
        {
            "tenantId": "12345678-1234-4abc-8def-123456789012",
            "clientId": "87654321-1234-4abc-8def-" + _hex(12),
            "clientSecret": "abc8Q~" + _text(32) + "._~",
        },
    ),
    "PostgreSQL": ("postgres", "postgresql://app:" + _text(20) + "%40%2F*!@db.example.com:5432/app?sslmode=require"),
    "MongoDB": ("mongodb", "mongodb+srv://app:" + _text(20) + "@c0.example.mongodb.net/?retryWrites=true&w=majority"),
    "Redis": ("redis", "rediss://:" + _text(40) + "@redis.example.com:6380/0"),
    "OpenSSH": ("deploy", _pem("OPENSSH PRIVATE KEY", 400, width=70)),
    "PEM from Windows": ("windows", _pem("EC PRIVATE KEY", 121, newline="\r\n", final="\r\n")),
    "PGP": ("pgp", _pem("PGP PRIVATE KEY BLOCK", 300).replace("-----\n", "-----\nComment: made up\n\n", 1)),
    "Basic authentication": ("intranet", {"username": "svc", "password": f"p\"4s\\s wört *{CANARY}* <&>'"}),
    "last.fm": ("lastfm", {"apiKey": _hex(32), "sharedSecret": _hex(32)[::-1]}),
    "npm": ("npm", "np" + "m_" + _text(36)),
    "Hugging Face": ("huggingface", "h" + "f_" + _text(34)),
    "JWT": ("supabase", "ey" + "JhbGciOiJIUzI1NiJ9." + _text(60) + "." + _text(43)),
    "passphrase": ("backup", f"correct horse {CANARY} battery staple... no, wait"),
    "password with accents": ("legacy", f"Ünï{CANARY}cödé 密码 🔑"),
    ".netrc": ("netrc", f"machine api.example.com\n\tlogin ada\n\tpassword {_text(24)}\n"),
    "as long as can be": ("long", "x" * (4094 - len(CANARY)) + CANARY),
}
