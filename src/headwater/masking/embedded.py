r"""Finds e-mail addresses and phone numbers in JSON, URLs and free text, and puts `(email)` and `(phone)` in their place.

All else stays as it was, and JSON and URLs stay whole. Both are found as they stand, percent-encoded (also twice), or
as JSON escapes (`\u0040`), at any depth, since text is searched and nothing is parsed. The patterns are RE2's, run by
Arrow over whole columns.

An e-mail address is a name, an at sign and a domain that ends in letters. A phone number is international (`+49 …`),
or grouped as people write it (`555-123-4567`, `0170 1234567`), or of six digits or more under a key or parameter named
phone, tel, mobile and the like. Plain digits elsewhere are no phone number: they are ids, instants and amounts.
"""

from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

EMAIL: Final = "(email)"
PHONE: Final = "(phone)"

_PERCENT = r"%(?:25)*"
_ESCAPE = r"\\+u00"


def _encoded(codes: str) -> str:
    """A character whose code is one of `codes`, percent-encoded or as an escape of JSON."""
    return rf"(?:{_PERCENT}|{_ESCAPE})(?:{codes})"


_ALPHANUMERIC = r"3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]"
# Beyond ASCII: bytes of UTF-8, or any escape of JSON.
_UNICODE = r"\\+u(?:00[89A-Fa-f]|0[1-9A-Fa-f][0-9A-Fa-f]|[1-9A-Fa-f][0-9A-Fa-f]{2})[0-9A-Fa-f]"
_BEYOND = rf"(?:{_PERCENT}[89A-Fa-f][0-9A-Fa-f]|{_UNICODE})"
# What an encoded character before a match may be: any that is not part of a name. It is kept.
BEFORE = rf"(?:{_encoded(r'[01][0-9A-Fa-f]|2[0-9ACFacf]|3[A-Fa-f]|40|5[B-Eb-e]|60|7[B-DFb-df]')}|\\+[bfnrt])"

_FIRST = rf"(?:[\p{{L}}\p{{M}}\p{{N}}._+~-]|{_encoded(rf'2[BbDdEe]|5[Ff]|7[Ee]|{_ALPHANUMERIC}')}|{_BEYOND})"
_NAME = rf"{_FIRST}(?:{_FIRST}|'|{_encoded('27')})*"
_AT = rf"(?:[@\x{{FF20}}]|{_encoded('40')}|&#0*64;|&#[xX]0*40;)"
_LABEL = rf"(?:[\p{{L}}\p{{M}}\p{{N}}-]|{_encoded(rf'2[Dd]|{_ALPHANUMERIC}')}|{_BEYOND})+"
_DOT = rf"(?:\.|{_encoded('2[Ee]')})"
_LAST = rf"(?:[xX][nN]--[A-Za-z0-9-]+|(?:[\p{{L}}\p{{M}}]|{_encoded(r'[46][1-9A-Fa-f]|[57][0-9Aa]')}|{_BEYOND}){{2,}})"
_ADDRESS = rf"({BEFORE})?{_NAME}{_AT}{_LABEL}(?:{_DOT}{_LABEL})*{_DOT}{_LAST}"

_SPACE = rf"(?:[ +\x{{A0}}]|{_encoded('20')})"
_DASH = rf"(?:[-\x{{2010}}-\x{{2013}}]|{_encoded('2[Dd]')})"
_SIDE = rf"(?:[()]|{_encoded('2[89]')})"
GAP = rf"(?:{_SPACE}|{_DASH}|{_SIDE})"
_PLUS = rf"(?:\+|{_encoded('2[Bb]')})"
_APART = rf"(^|[^\p{{L}}\p{{N}}_]|{BEFORE})"
_FAR_APART = rf"(^|[^\p{{L}}\p{{N}}_%+./-]|{BEFORE})"
_INTERNATIONAL = rf"{_APART}{_PLUS}{GAP}{{0,2}}(?:\d{{1,3}}(?:\.\d{{2,4}}){{2,5}}|\d(?:{GAP}{{0,3}}\d){{6,14}})\b"
_PART = rf"(?:\.|{_SPACE}|{_DASH})"
_GROUPED = (
    rf"{_FAR_APART}(?:"
    rf"(?:1{_PART})?(?:{_SIDE}\d{{3}}{_SIDE}{_SPACE}?|\d{{3}}{_PART})\d{{3}}{_PART}\d{{4}}"
    rf"|0\d{{2,4}}(?:{_PART}|/)(?:\d{{5,8}}|\d{{3,4}}{_PART}\d{{3,4}})"
    rf"|0\d(?:{_PART}\d{{2}}){{4}}"
    rf"|0\d{_PART}\d{{4}}{_PART}\d{{4}}"
    rf")\b"
)

_WORD = r"(?i:(?:[a-z0-9]+[_.-])*(?:[a-z]*phone|tel|mobile|cell|msisdn|fax|whatsapp)(?:[_.-]?(?:number|num|no|nr))?)"
_NUMBER = rf"(?:{_PLUS}|{GAP}){{0,3}}\d(?:(?:{GAP}|[./]){{0,3}}\d){{5,17}}\b"
_QUOTE = rf'(?:\\*"|{_encoded("22")})'
_BLANK = rf"(?:\s|{_encoded('20')})*"
_COLON = rf"(?:{_BLANK}(?::|{_encoded('3[Aa]')}){_BLANK})"
_PARAMETER = rf"(?:(?:^|[?&;#\s]|{_encoded('3[Ff]|26')}|&amp;){_WORD}(?:=|{_encoded('3[Dd]')}))"
_NAMED = rf"({_QUOTE}{_WORD}{_QUOTE}{_COLON}{_QUOTE}|{_PARAMETER}){_NUMBER}"
# A number of JSON becomes a text, in the quotes that its key has.
_NAMED_PLAIN = rf'((\\*"|{_encoded("22")}){_WORD}{_QUOTE}{_COLON})\d{{6,17}}\b'

_STEPS: Final = (
    (_ADDRESS, rf"\1{EMAIL}"),
    (_NAMED, rf"\1{PHONE}"),
    (_NAMED_PLAIN, rf"\1\2{PHONE}\2"),
    (_INTERNATIONAL, rf"\1{PHONE}"),
    (_GROUPED, rf"\1{PHONE}"),
)


def without_contacts(texts: pa.Array) -> pa.Array:
    """The texts with every e-mail address and phone number replaced; null stays null."""
    for pattern, replacement in _STEPS:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def without_contacts_in(text: str) -> str:
    """The same of one text."""
    [replaced] = without_contacts_in_each([text])
    return replaced


def without_contacts_in_each(texts: Iterable[str]) -> tuple[str, ...]:
    """The same of some texts: of fifty it takes no longer than of one, since the patterns are compiled each time."""
    return tuple(without_contacts(pa.array(texts, pa.string())).to_pylist())
