r"""Finds what tells of one person in columns of text, and takes it out: whole Arrow arrays, in which null stays null.

What identifies by itself (e-mail addresses, phone numbers, keyed hashes of them) is found in every row. Names and
addresses, which many may share, only in rows that are about the person: that have the key, or what identifies. Text is
searched and nothing is parsed: as it stands, percent-encoded (also twice) and with JSON's escapes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts.contract import FORGOTTEN
from headwater.masking.embedded import BEFORE, GAP

IDENTIFYING: Final = frozenset({"pii:email", "pii:phone"})
"""Classifications of what belongs to one person alone."""

_LEAST_DIGITS: Final = 7
_PUT: Final = rf"\1{FORGOTTEN}\2"
_PUT_QUOTED: Final = rf"\1\2{FORGOTTEN}\2\3"
"""A number of JSON becomes a text, in the quotes that its field has."""
_TWICE: Final = 2
"""Of two values side by side the first takes the character between them: the second pass finds the other."""


@dataclass(frozen=True)
class Spot:
    """Where in one table to look, by the names of its columns.

    Attributes:
        own: the key here makes a row the person's own, which goes; where `blanked`, its texts go and it stays, known by
            its identity.
        references: the key here is replaced.
        personal: classified columns; where one holds a value of the person alone, it is emptied, or, one of `required`,
            replaced.
        free: texts in which names and addresses are looked for too, in rows about the person.
        lines: in these the key as a word of its own makes a row be about the person: a line of a file names no fields.
        passed: columns that are not looked into, such as what tells rows and runs apart.
    """

    own: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    personal: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    lines: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()
    blanked: bool = False


@dataclass(frozen=True)
class Marks:
    """How many rows of a batch go and how many change, and which names and addresses others have too."""

    gone: int
    changed: int
    shared: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.gone or self.changed)


@dataclass(frozen=True)
class Traces:
    """A person's key, the names of the fields that hold such keys, and the values of the person's own rows.

    `values` are pairs of classification and value, `hashes` of classification and what masks made of a value.
    """

    key: str
    names: tuple[str, ...]
    values: frozenset[tuple[str, str]] = frozenset()
    hashes: frozenset[tuple[str, str]] = frozenset()

    def marks(self, batch: pa.RecordBatch, spot: Spot) -> Marks:
        """What `without` would do."""
        texts = _texts(batch, spot)
        gone, about = self._rows(batch, texts, spot)
        changed = _any(batch, (_differ(each, self._changed(name, each, about, spot)) for name, each in texts.items()))
        return Marks(
            pc.sum(gone).as_py() or 0, pc.sum(pc.and_not(changed, gone)).as_py() or 0, self._shared(texts, about, spot)
        )

    def without(self, batch: pa.RecordBatch, spot: Spot) -> pa.RecordBatch:
        """The batch without the person; the very same where nothing tells of them."""
        texts = _texts(batch, spot)
        gone, about = self._rows(batch, texts, spot)
        for name, each in texts.items():
            if (changed := self._changed(name, each, about, spot)) is not each:
                place = batch.schema.get_field_index(name)
                told = batch.schema.field(place)
                batch = batch.set_column(place, told, _typed(changed, told.type))
        return batch.filter(pc.invert(gone)) if pc.any(gone).as_py() else batch

    def tells_of(self, text: str) -> bool:
        """Whether a text has the key, as a word of its own, or any value in it."""
        patterns = [*self._contacts, *self._words, *self._line]
        return any(_matched(pa.array([text], pa.string()), pattern)[0].as_py() for pattern in patterns)

    def scrubbed(self, text: str, *, loose: bool) -> str:
        """A text without what identifies, and without the key where it has a name; if `loose`, without any value."""
        told = _replaced(pa.array([text], pa.string()), self._numbers, _PUT_QUOTED)
        told = _replaced(told, [*self._contacts, *self._keyed, *(self._words if loose else ())])
        return str(told[0].as_py())

    def owns(self, value: str, *, loose: bool) -> bool:
        """Whether a value is one of the person's: what identifies, or, if `loose`, a name or an address."""
        plain = value.strip().lower()
        return plain in self._mails or _digits_of(value) in self._phones or (loose and plain in self._loose)

    def _rows(self, batch: pa.RecordBatch, texts: Mapping[str, pa.Array], spot: Spot) -> tuple[pa.Array, pa.Array]:
        """Which rows go, and which are about the person."""
        own = [
            pc.or_(self._is_key(texts[name]), _matches(texts[name], self._keyed)) for name in spot.own & texts.keys()
        ]
        about = _any(batch, [*own, *self._about(texts, spot)])
        return (_any(batch, []) if spot.blanked else _any(batch, own)), about

    def _about(self, texts: Mapping[str, pa.Array], spot: Spot) -> Iterator[pa.Array]:
        for name, each in texts.items():
            if name in spot.references:
                yield self._is_key(each)
                continue
            yield _matches(
                each, [*self._keyed, *self._numbers, *self._contacts, *(self._line if name in spot.lines else ())]
            )
            if name in spot.personal:
                yield self._identifies(each)

    def _changed(self, name: str, texts: pa.Array, about: pa.Array, spot: Spot) -> pa.Array:
        """A column's texts without the person; the very same where there is nothing."""
        if name in spot.references:
            return _put(texts, self._is_key(texts), FORGOTTEN)
        if name in spot.personal:
            loose = pc.and_(_among(_plain(texts), self._loose), about)
            empty = FORGOTTEN if name in spot.required else None
            texts = _put(texts, pc.or_(self._identifies(texts), loose), empty)
        if spot.blanked and name in spot.free:
            texts = _put(texts, pc.and_(about, texts.is_valid()), FORGOTTEN)
        return self._searched(texts, about, name, spot)

    def _searched(self, texts: pa.Array, about: pa.Array, name: str, spot: Spot) -> pa.Array:
        """The texts without values within them; lists are looked into."""
        if pa.types.is_list(texts.type):
            inside = texts.flatten()
            changed = self._searched(inside, about.take(pc.list_parent_indices(texts)), name, spot)
            return texts if changed is inside else _relisted(texts, changed)
        texts = _replaced(_replaced(texts, self._numbers, _PUT_QUOTED), [*self._keyed, *self._contacts])
        there = [*(self._words if name in spot.free else ()), *(self._line if name in spot.lines else ())]
        if there and pc.any(mask := pc.and_(about, _matches(texts, there))).as_py():
            texts = pc.if_else(mask, _replaced(texts, there), texts)
        return texts

    def _shared(self, texts: Mapping[str, pa.Array], about: pa.Array, spot: Spot) -> frozenset[str]:
        found = set[str]()
        for name in spot.personal.keys() & texts.keys():
            plain = _plain(texts[name])
            others = plain.filter(pc.and_not(_among(plain, self._loose), about))
            found |= set(others.unique().to_pylist())
        return frozenset(found)

    def _is_key(self, texts: pa.Array) -> pa.Array:
        return _among(_plain(texts, lower=False), {self.key})

    def _identifies(self, texts: pa.Array) -> pa.Array:
        """Whether a text is, alone, an e-mail address, a phone number, or a hash of one."""
        plain = _plain(texts)
        digits = pc.replace_substring_regex(pc.replace_substring_regex(plain, r"\D+", ""), "^00", "")
        numeric = pc.and_(_among(digits, self._phones), _known(pc.invert(pc.match_substring_regex(plain, r"\p{L}"))))
        return pc.or_(_among(plain, self._mails | self._hashed), numeric)

    @cached_property
    def _mails(self) -> frozenset[str]:
        told = (value.strip().lower() for kind, value in self.values if kind == "pii:email")
        return frozenset(value for value in told if "@" in value.strip("@"))

    @cached_property
    def _phones(self) -> frozenset[str]:
        told = (_digits_of(value) for kind, value in self.values if kind == "pii:phone")
        return frozenset(value for value in told if len(value) >= _LEAST_DIGITS)

    @cached_property
    def _hashed(self) -> frozenset[str]:
        return frozenset(value for kind, value in self.hashes if kind in IDENTIFYING)

    @cached_property
    def _loose(self) -> frozenset[str]:
        """What does not identify alone: names, addresses, and what is no e-mail address or phone number after all."""
        told = {(kind, value.strip().lower()) for kind, value in self.values if value.strip()}
        mails = {("pii:email", value) for value in self._mails}
        hashes = {pair for pair in self.hashes if pair[0] not in IDENTIFYING}
        return frozenset(
            value
            for kind, value in (told - mails) | hashes
            if kind != "pii:phone" or _digits_of(value) not in self._phones
        )

    # Each pattern has two groups: what stands before, and what stands after.

    @cached_property
    def _contacts(self) -> tuple[str, ...]:
        mails = "|".join(_spelt(value) for value in sorted(self._mails))
        gap = rf"(?:{GAP}|[./]){{0,3}}"
        phones = "|".join(gap.join(value) for value in sorted(self._phones))  # as people group them
        mail = rf"(^|[^\p{{L}}\p{{N}}_.+~%-]|{BEFORE})(?:{mails})($|[^\p{{L}}\p{{N}}_-])"
        phone = rf"(^|[^\p{{N}}]|{BEFORE})(?:00{gap})?(?:{phones})($|[^\p{{N}}])"
        return (*([mail] if mails else ()), *([phone] if phones else ()))

    @cached_property
    def _keyed(self) -> tuple[str, ...]:
        """The key beside its name: a field of JSON, or a parameter of a URL."""
        quote, colon, equals = r'(?:\\*"|%(?:25)*22)', r"\s*(?::|%(?:25)*3[Aa])\s*", r"(?:=|%(?:25)*3[Dd])"
        names = "|".join(re.escape(name).replace("_", "_?") for name in self.names)
        start, key, end = r"(?:^|[?&;#\s]|%(?:25)*(?:3[Ff]|26))", _spelt(self.key), r"($|[^\p{L}\p{N}_-])"
        field = rf"(?i:{quote}(?:{names}){quote}{colon})"
        return (rf"({field}{quote}){key}{end}", rf"((?i:{start}(?:{names})){equals}){key}{end}") if names else ()

    @cached_property
    def _numbers(self) -> tuple[str, ...]:
        """Phone numbers and the key as numbers of JSON; of three groups the second is the quote of the field."""
        names = "|".join(re.escape(name).replace("_", "_?") for name in self.names)
        keys = [rf"((\\*\")(?i:{names})\\*\"\s*:\s*){self.key}($|[^\d.])"] if names and self.key.isdigit() else []
        phones = "|".join(sorted(self._phones))
        return (*keys, *([rf"((\\*\")[^\"\\]+\\*\"\s*:\s*)(?:{phones})($|[^\d.])"] if phones else ()))

    @cached_property
    def _line(self) -> tuple[str, ...]:
        return (rf"(^|[^\p{{L}}\p{{N}}_-]){_spelt(self.key)}($|[^\p{{L}}\p{{N}}_-])",)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        told = "|".join(_spelt(value) for value in sorted(self._loose, key=len, reverse=True) if len(value) > 1)
        return (rf"(^|[^\p{{L}}\p{{N}}_]|{BEFORE})(?:{told})($|[^\p{{L}}\p{{N}}_])",) if told else ()


def _texts(batch: pa.RecordBatch, spot: Spot) -> dict[str, pa.Array]:
    """The columns of text, of lists of texts, and of bytes as text."""
    found = {}
    for told, column in zip(batch.schema, batch.columns, strict=True):
        if told.name in spot.passed:
            continue
        if pa.types.is_string(told.type) or (pa.types.is_list(told.type) and pa.types.is_string(told.type.value_type)):
            found[told.name] = column
        elif pa.types.is_binary(told.type):
            found[told.name] = pa.array([None if v is None else _decoded(v) for v in column.to_pylist()], pa.string())
    return found


def _decoded(raw: bytes) -> str:
    """Bytes as text that gives the same bytes back; where they are no UTF-8, those beyond ASCII are no letters."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _NO_UTF8 + raw.decode("latin-1").translate(_BEYOND)


_NO_UTF8: Final = "\N{REPLACEMENT CHARACTER}bytes:"
_BEYOND: Final = {byte: 0xE000 + byte for byte in range(0x80, 0x100)}


def _typed(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """The texts in the type that their column had."""
    if not pa.types.is_binary(kind):
        return texts.cast(kind)
    return pa.array([None if text is None else _encoded(text) for text in texts.to_pylist()], kind)


def _encoded(text: str) -> bytes:
    if not text.startswith(_NO_UTF8):
        return text.encode()
    back = {private: byte for byte, private in _BEYOND.items()}
    return text.removeprefix(_NO_UTF8).translate(back).encode("latin-1")


def _relisted(lists: pa.Array, inside: pa.Array) -> pa.Array:
    """The same lists with other texts in them."""
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(lists), 0)).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, inside, type=lists.type, mask=lists.is_null())


def _any(batch: pa.RecordBatch, masks: Iterable[pa.Array]) -> pa.Array:
    none: pa.Array = pa.repeat(pa.scalar(False), batch.num_rows)
    either: Callable[[pa.Array, pa.Array], pa.Array] = pc.or_
    return reduce(either, (_known(mask) for mask in masks), none)


def _known(mask: pa.Array) -> pa.Array:
    return pc.fill_null(mask, False)


def _among(texts: pa.Array, values: Iterable[str]) -> pa.Array:
    return pc.is_in(texts, pa.array(sorted(values), pa.string()))


def _plain(texts: pa.Array, *, lower: bool = True) -> pa.Array:
    """Without spaces at their ends and in small letters; of lists nothing."""
    if pa.types.is_list(texts.type):
        return pa.nulls(len(texts), pa.string())
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.utf8_lower(trimmed) if lower else trimmed


def _digits_of(value: str) -> str:
    """The digits of a phone number, without the zeros that stand for its plus sign."""
    return re.sub(r"\D", "", value).removeprefix("00")


def _put(texts: pa.Array, mask: pa.Array, value: str | None) -> pa.Array:
    return pc.if_else(mask, pa.scalar(value, texts.type), texts) if pc.any(mask).as_py() else texts


def _differ(one: pa.Array, other: pa.Array) -> pa.Array:
    """Where two columns differ."""
    if one is other:
        return pa.repeat(pa.scalar(False), len(one))
    if pa.types.is_list(one.type):
        return pa.array([a != b for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)], pa.bool_())
    return pc.or_(_known(pc.not_equal(one, other)), pc.not_equal(one.is_valid(), other.is_valid()))


def _matched(texts: pa.Array, pattern: str) -> pa.Array:
    return _known(pc.match_substring_regex(texts, pattern))


def _matches(texts: pa.Array, patterns: Iterable[str]) -> pa.Array:
    """Whether a text, or one of a list of texts, matches any of the patterns."""
    if pa.types.is_list(texts.type):
        rows = pc.list_parent_indices(texts).filter(_matches(texts.flatten(), patterns))
        return pc.is_in(pa.array(range(len(texts)), rows.type), rows.unique())
    found = pa.repeat(pa.scalar(False), len(texts))
    return reduce(pc.or_, (_matched(texts, pattern) for pattern in patterns), found)


def _replaced(texts: pa.Array, patterns: Iterable[str], put: str = _PUT) -> pa.Array:
    """The texts with what patterns find replaced; the very same where they find nothing."""
    for pattern in patterns:
        if pc.any(_matched(texts, pattern)).as_py():
            for _ in range(_TWICE):
                texts = pc.replace_substring_regex(texts, pattern, put)
    return texts


def _spelt(value: str) -> str:
    """A pattern of a text whatever its case and however its characters are encoded."""
    return "(?i:" + "".join(map(_character, value)) + ")"


def _character(char: str) -> str:
    if char.isspace():
        return r"(?:[\s+\x{A0}]|%(?:25)*20|\\+u0020)+"
    forms = set[str]()
    for each in (char, char.lower(), char.upper()):
        forms.add(re.escape(each))
        forms.add("".join(f"%(?:25)*{byte:02x}" for byte in each.encode()))
        forms.add("".join(rf"\\+u{ord(one):04x}" for one in each))
    return "(?:" + "|".join(sorted(forms)) + ")"
