"""Keys, right and wrong, that the page and the API must judge alike."""

from __future__ import annotations

import random
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from service_keys.admin.secret_rules import MAX_BYTES, MAX_FIELDS
from tests.support.canary import CANARY
from tests.support.example_keys import KEYS
from tests.support.mistakes import MISTAKES

if TYPE_CHECKING:
    from collections.abc import Iterator

PEM: Final = f"-----BEGIN PRIVATE KEY-----\nmade-up-{CANARY}\n-----END PRIVATE KEY-----"
_TEXT: Final = f"made-up-{CANARY}-0123456789"
_VALUES: Final = (
    # white space
    *(f"{before}{_TEXT}{after}" for before in ("", " ", "\n", "\t", "\xa0") for after in ("", " ", "\n", "\r\n", "\t")),
    *(PEM + after for after in ("", "\n", "\r\n", "\n\n", "\n ", " \n", "\r")),
    PEM.replace("\n", "\r\n") + "\r\n",
    PEM.replace("\n", "\r"),
    f"\x1c{_TEXT}",
    f"{_TEXT}\x85",
    f"\ufeff{_TEXT}",
    f"\x0b{_TEXT}",
    # masked values
    *("•", "••••6789", "●●●●●●●●", "*" * 8, "a**b-0123456", "a***b-012345", "sk-...AbCd", "sk-…AbCd", "wait...then"),
    *("wait...then1", "abcdefgh...", "<redacted>", "[MASKED]", "{{hidden}}", "***filtered***", "(sensitive value)"),
    *("postgres://user:**@host", "postgres://user:*@host", "https://:*@h", "████████", "▓▓▓▓", "∗∗∗∗∗∗∗∗", "＊＊＊"),
    *("∙∙6789-012", "a∙∙∙6789-012", "redacted", "<redactedd>", "[sensitive  value]", "sk-........AbCd", "<ſensitive>"),
    *("<ﬁltered>", "<REDACTED>", "<MASKED]", "<<<<masked>", "ab...cd-1", "a...bcd-1", "ab..cde-1"),
    # lengths, in characters and in bytes
    *("", "short", "1234567", "12345678", "é" * 8, "😀" * 7, "😀" * 8, "x" * (MAX_BYTES - 2), "x" * (MAX_BYTES - 1)),
    *("é" * 2047, "é" * 2048, '"' * 2047, '"' * 2048, "\\" * 2048, "a" + "\n" * 2046 + "bc", "a" + "\n" * 2047 + "b"),
    *("😀" * 1023, "😀" * 1024, "\x7f" * 9, "a" + "\t" * 2046 + "b", "a" + "\t" * 2047 + "b", "/" * 4094, "\u2028" * 9),
    # lone surrogates
    "made-up-\ud800-0123",
    "made-up-\udc00\ud800-0123",
)
_OBJECTS: Final[tuple[Any, ...]] = (
    {},
    {"": _TEXT},
    {"a": "x"},
    {"a": ""},
    {"a": " x"},
    {"1a": _TEXT},
    {"a b": _TEXT},
    {"é": _TEXT},
    {"a\n": _TEXT},
    {"a" * 64: _TEXT},
    {"a" * 65: _TEXT},
    {"a": "x" * (MAX_BYTES - 8)},
    {"a": "x" * (MAX_BYTES - 7)},
    {"a": PEM + "\n"},
    {"a": "short", "b": "••••"},
    {"__proto__": _TEXT},
    {"constructor": _TEXT},
    {"toString": _TEXT},
    {"a": "\u2011", "b": "\u200b"},
    {f"f{number}": "x" for number in range(MAX_FIELDS)},
    {f"f{number}": "x" for number in range(MAX_FIELDS + 1)},
    {f"f{number}": "x" * 200 for number in range(MAX_FIELDS)},
    {f"f{number}": "x" * 197 for number in range(MAX_FIELDS)},
)
_LETTERS: Final = "aBé1 \u200c\u200d\ufe0f\ufe0e\u0640\u0628\u064e\u0915\u094d\u05d0😀❤👩🏴"
_JOINERS: Final = _LETTERS + "\U000e0067\U000e007f\u180b\u1820†\u3000\t\n"
_ALPHABET: Final = "aZ09-_.:/@*•●… \t\n\r\xa0\u200b\u2011\u2019\ufe0f\u3000\uff21éß😀\U000e0061<>[]{}\"'\\"
_SEED: Final = 16


def keys() -> list[Any]:
    """Return keys: those of the mistakes, edge cases of the rules, and variations of each service's key."""
    mistaken = [mistake.body["key"] for mistake in MISTAKES if isinstance(mistake.body, dict) and "key" in mistake.body]
    variations = [changed for key in KEYS.values() for changed in (key, *_variations(key))]
    return [*_VALUES, *_OBJECTS, *_random_values(), *mistaken, *variations]


def texts() -> list[str]:
    """Return the strings among the keys and in their fields."""
    found: dict[str, None] = {}
    for key in keys():
        values = key.values() if isinstance(key, dict) else [key]
        found |= dict.fromkeys(value for value in values if isinstance(value, str))
    return list(found)


def characters() -> Iterator[str]:
    """Yield the characters that have the same category in every version of Unicode that has them."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if unicodedata.category(character) not in {"Cn", "Cs", "Co"} or number in (0xE000, 0xF8FF, 0xF0000, 0x10FFFD):
            yield character


def _variations(key: Any) -> Iterator[Any]:
    if isinstance(key, str):
        yield from _changed(key)
        yield {"value": key}
        return
    for name, value in key.items():
        for changed in ("", *_changed(value)):
            yield key | {name: changed}
        yield {other: text for other, text in key.items() if other != name}
        yield key | {name.lower(): value}


def _changed(text: str) -> Iterator[str]:
    yield text[:-1]
    yield text[1:]
    yield text + "0"
    yield text + "\n"
    yield text.upper()
    yield f"{text[:5]} {text[5:]}"
    yield f"{text[:5]}\u2011{text[5:]}"
    yield f"{text[:5]}\n{text[5:]}"
    yield f"{text[:5]}é{text[5:]}"
    yield f"••••{text[-4:]}"


def _random_values() -> Iterator[str]:
    chosen = random.Random(_SEED)
    for _ in range(3000):
        yield "".join(chosen.choice(_ALPHABET) for _ in range(chosen.randint(1, 12)))


def written() -> list[str]:
    """Return names and descriptions: the edge cases of their rules, and sequences with joiners."""
    chosen = random.Random(_SEED)
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    edges = [
        " New ",
        "\tNew\n",
        "\x1cNew",
        "\xa0New\u3000",
        "N",
        "",
        "  N ",
        "x" * 100,
        "x" * 101,
        "😀" * 100,
        "x" * 500,
    ]
    edges += ["x" * 501, "a\r\nb", "a\rb", "a\nb", f"{flag} team", f"a{flag[:-1]}", "❤\ufe0f", "👩\u200d💻", "a\u200db"]
    edges += [
        "می\u200cخواهم",
        "क\u094d\u200dष",
        "\ufe0fa",
        "New\u200b key",
        "a\ufffdb",
        "\ue000 a",
        "٣\u200cب",
        "\ud800ab",
    ]
    return edges + ["".join(chosen.choice(_JOINERS) for _ in range(chosen.randint(2, 6))) for _ in range(3000)]
