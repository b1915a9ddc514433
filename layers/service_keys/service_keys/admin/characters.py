"""Characters that are rejected in secret values, names and descriptions.

A secret value copied from a word processor, a chat or a PDF can look correct and not work. A name with invisible
characters looks like another name.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, auto
from typing import Final

from service_keys.core.names import IGNORABLE

ZERO_WIDTH_NON_JOINER: Final = "\u200c"
ZERO_WIDTH_JOINER: Final = "\u200d"
_REPLACEMENT_CHARACTER: Final = "\ufffd"
_BLANKS: Final = frozenset("\u2800\ufffc")
"""The blank Braille pattern and the object replacement character: symbols by category, but invisible."""
_INVISIBLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs"})
_PRIVATE_USE: Final = "Co"
"""Icon fonts of web pages use private characters, which are invisible elsewhere and easily copied with a key."""
_TYPOGRAPHIC_CATEGORIES: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Pi", "Pf"})
"""Spaces, line and paragraph separators, dashes, opening and closing quotation marks."""
_TYPOGRAPHIC: Final = re.compile(
    "[\u201a\u201e\u2032-\u2037\u02b9\u02ba\u02bc\u301d-\u301f"  # quotation marks, primes, apostrophes
    "\u2212\u2043\u02d7"  # minus sign, hyphen bullet, modifier minus
    "\u2024-\u2026\u2044"  # dot leaders, ellipsis, fraction slash
    "\ufb00-\ufb06\uff01-\uff5e]"  # ligatures (copied from a PDF), full-width ASCII (typed with an input method)
)
_VARIATION_SELECTORS: Final = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_FLAG_OF_A_REGION: Final = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
"""Flag of England, Scotland or Wales: a black flag and a region code in tag characters (Unicode TR 51)."""
_EMOJI_BLOCKS: Final = re.compile("[\U0001f000-\U0001faff]")
"""Blocks that count as printable, because this Python's Unicode version lacks newer emoji."""


class Refusal(Enum):
    """Reason for the rejection of a character."""

    LOST = auto()
    """The replacement character: the sender did not use UTF-8, and the original character is lost."""
    INVISIBLE = auto()
    """A control or format character, or another invisible one."""
    TYPOGRAPHIC = auto()
    """A character that resembles an ASCII character and that word processors insert instead of it."""


def refused_in_secret(text: str) -> tuple[int, Refusal] | None:
    """Return the index of the first character not allowed in secret values, and the reason; None if all are allowed."""
    if text.isascii() and text.isprintable():
        return None
    for index, character in enumerate(text):
        if " " <= character <= "~" or character in "\n\t" or text[index : index + 2] == "\r\n":
            continue
        reason = _refusal(character)
        if reason:
            return index, reason
    return None


def refused_in_text(text: str, *, multiline: bool) -> tuple[int, Refusal] | None:
    """Return the index of the first character not allowed in names or descriptions, and the reason; None if all are.

    Joiners and variation selectors are allowed if they change the shape of adjacent characters: in joined emoji, in
    Persian, in Indic scripts.

    Args:
        text: The name or description.
        multiline: True for a description, which can contain line breaks, tabs and any space.
    """
    if text.isascii() and text.isprintable():
        return None
    text = _FLAG_OF_A_REGION.sub(lambda flag: flag[0][0] * len(flag[0]), text)
    for index, character in enumerate(text):
        if character == _REPLACEMENT_CHARACTER:
            return index, Refusal.LOST
        if multiline and (character in "\n\t" or unicodedata.category(character) in {"Zs", _PRIVATE_USE}):
            continue
        if _is_visible(character) or _belongs(text, index):
            continue
        return index, Refusal.INVISIBLE
    return None


def code_point(character: str) -> str:
    """Return the code point and Unicode name, such as ``U+2011 NON-BREAKING HYPHEN``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _refusal(character: str) -> Refusal | None:
    if character == _REPLACEMENT_CHARACTER:
        return Refusal.LOST
    category = unicodedata.category(character)
    if (
        category in _INVISIBLE_CATEGORIES
        or category == _PRIVATE_USE
        or character in _BLANKS
        or IGNORABLE.fullmatch(character)
        or _is_noncharacter(character)
    ):
        return Refusal.INVISIBLE
    if category in _TYPOGRAPHIC_CATEGORIES or _TYPOGRAPHIC.fullmatch(character):
        return Refusal.TYPOGRAPHIC
    return None


def _is_noncharacter(character: str) -> bool:
    number = ord(character)
    return number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF  # noqa: PLR2004 - The Unicode Standard, 23.7


def _is_visible(character: str) -> bool:
    if character in _BLANKS or IGNORABLE.fullmatch(character):
        return False
    return character.isprintable() or _EMOJI_BLOCKS.fullmatch(character) is not None


def _belongs(text: str, index: int) -> bool:
    """Return True if an invisible character changes the shape of adjacent characters."""
    before, character, after = text[index - 1 : index], text[index], text[index + 1 : index + 2]
    if not before:
        return False
    if _VARIATION_SELECTORS.fullmatch(character):
        return _is_visible(before) and before != " " and unicodedata.category(before) not in {"Lu", "Ll", "Lt", "Lm"}
    if character == ZERO_WIDTH_NON_JOINER:
        # Persian sets it between a foreign word or a number and its ending, too.
        return _is_virama(before) or ((before.isalnum() or _is_joining(text[:index])) and _is_joining(after))
    if character == ZERO_WIDTH_JOINER:
        joined_letters = _is_virama(before) or _is_virama(after) or _is_joining(text[:index])
        return joined_letters or (_is_emoji(before) and _is_emoji(after))
    return False


def _is_virama(character: str) -> bool:
    """Return True if the character joins consonants of an Indic script (canonical combining class 9)."""
    return bool(character) and unicodedata.combining(character) == 9  # noqa: PLR2004


def _is_joining(text: str) -> bool:
    """Return True if the text ends in a letter of a joined script such as Arabic."""
    base = next((character for character in reversed(text) if unicodedata.category(character) != "Mn"), "")
    return bool(base) and unicodedata.bidirectional(base) in {"AL", "R"}


def _is_emoji(character: str) -> bool:
    if not character:
        return False
    symbol = unicodedata.category(character) in {"So", "Sm", "Sk", "Me"}
    return symbol or character == "\ufe0f" or _EMOJI_BLOCKS.fullmatch(character) is not None
