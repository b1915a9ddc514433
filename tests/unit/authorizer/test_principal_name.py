"""The readable name of an administrator in the claims of a token."""

from __future__ import annotations

import pytest

from authorizer.principal_name import principal_name

PATHS = [("email",), ("user", "names", "0"), ("name",)]


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "ada@example.com", "name": "Ada"}, "ada@example.com"),
        ({"user": {"names": ["Ada", "Bob"]}, "name": "Eve"}, "Ada"),
        ({"name": "  Ada Lovelace\n"}, "Ada Lovelace"),
        ({"name": "Ådä Лавлейс 愛 עדה 🔑"}, "Ådä Лавлейс 愛 עדה 🔑"),
        ({"name": "x" * 200}, "x" * 200),
        ({"name": "x" * 10_000}, "x" * 199 + "…"),
        ({"Email": "ada@example.com"}, None),
        ({}, None),
    ],
    ids=lambda value: f"{value!s:.30}",
)
def test_the_first_claim_with_text_is_the_name(claims: dict[str, object], name: str | None) -> None:
    """Follow paths, trim white space, and truncate at 200 characters."""
    assert principal_name(claims, PATHS) == name


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            7,
            1.5,
            [],
            ["ada@example.com"],
            {"name": "Ada"},
            "",
            " \t\n",
            "\u00a0",
            "\u200b",
            "\u200d",
            "a\u200db",
        ),
        *("Ada\x00", "Ada\x1b[31m", "Ada\nBob", "Ada\tBob", "Ada\x85Bob", "Ada\u2028Bob", "\ufeffAda"),
        *("\u202eadA", "Ada\u2066", "A\u200bda", "A\u00adda", "Ada\ue000", "Ada\U000e0041", "Ada\ufffe"),
    ],
    ids=ascii,
)
def test_other_values_are_skipped(value: object) -> None:
    """Skip other types, empty text, and control, invisible, bidirectional and private-use characters."""
    assert principal_name({"email": value}, PATHS) is None
    assert principal_name({"email": value, "name": "Ada"}, PATHS) == "Ada"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("山田\u3000太郎", "山田 太郎"),
        ("Ada\u00a0L", "Ada L"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d💻 Ada", "👩\u200d💻 Ada"),
    ],
)
def test_names_of_every_script_are_accepted(value: str, name: str) -> None:
    """Turn typographic spaces into plain ones, and keep the joiners that scripts and emoji need."""
    assert principal_name({"name": value}, [("name",)]) == name
