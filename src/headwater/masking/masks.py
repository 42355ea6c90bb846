"""What a mask makes of a column: functions of whole Arrow arrays, in which null stays null."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column as Expression
from pyspark.sql import functions as F

from headwater.config import MaskRule
from headwater.contracts.contract import Comparison
from headwater.masking.embedded import without_contacts
from headwater.masking.key import Key

EMBEDDED: Final = "pii:embedded"
"""The classification of text in which e-mail addresses and phone numbers may stand, among other things."""
REDACTED: Final = "(redacted)"
KEYED: Final = frozenset({"hash", "tokenize"})
"""Rules that need a key; both put the same hash in a value's place, and equal values stay equal."""

_TEXTS: Final = frozenset({"string", "array<string>"})
_HIDDEN: Final = "***"


@dataclass(frozen=True)
class Mask:
    """One column's mask: `kind` is its classification, `type` its Spark type.

    What the contract compares without spaces or case is masked without them too, so that equal values stay equal.
    """

    rule: MaskRule
    kind: str
    type: str = "string"
    compared_as: Comparison | None = None
    key: Key | None = None

    def over(self, column: Expression) -> Expression:
        """The column masked; nothing of the key is part of the expression."""
        told = self.compared(column)
        if self.type not in _TEXTS:
            return F.lit(None).cast(self.type)
        # A method travels as this mask and a name; a function of its own would take along what it names, such as keys.
        # The stubs of PySpark 4.1.1 do not have arrow_udf yet.
        udf = cast("Any", F).arrow_udf(self.masked, self.type)
        return cast("Expression", udf(told))

    def compared(self, column: Expression) -> Expression:
        """The column as far as it counts when it is compared."""
        match self.compared_as:
            case "trimmed-lowercase":
                return F.lower(F.trim(column))
            case "trimmed":
                return F.trim(column)
            case None:
                return column

    def masked(self, values: pa.Array) -> pa.Array:
        """An array of texts, or of lists of texts, masked."""
        if not pa.types.is_list(values.type):
            return self._of_texts(values.cast(pa.string()))
        ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(values), 0)).cast(pa.int32())
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
        return pa.ListArray.from_arrays(
            offsets, self._of_texts(values.flatten().cast(pa.string())), mask=values.is_null()
        )

    def _of_texts(self, texts: pa.Array) -> pa.Array:
        """Each different text is masked once."""
        told = texts.dictionary_encode()
        return self._of_different(told.dictionary).take(told.indices)

    def _of_different(self, texts: pa.Array) -> pa.Array:
        if self.rule in KEYED:
            if self.key is None:
                raise ValueError(f"{self.rule} was asked for without a key")
            return self.key.hashes(texts, self.kind)
        if self.rule == "partial":
            return _PARTIAL.get(self.kind, _first_letter)(texts)
        return without_contacts(texts) if self.kind == EMBEDDED else _redacted(texts)


def _redacted(texts: pa.Array) -> pa.Array:
    return pc.if_else(texts.is_valid(), pa.scalar(REDACTED), texts)


def _first_letter(texts: pa.Array) -> pa.Array:
    """`Ada` becomes `A***`."""
    return pc.replace_substring_regex(texts, r"(?s)^(.).*$", rf"\1{_HIDDEN}")


def _domain(texts: pa.Array) -> pa.Array:
    """`ada@example.com` becomes `a***@example.com`; what has no domain shows nothing."""
    shown = pc.replace_substring_regex(texts, r"(?s)^([^@])[^@]*@(.+)$", rf"\1{_HIDDEN}@\2")
    has_domain = pc.match_substring_regex(texts, r"(?s)^[^@]+@[^@]+$")
    return pc.if_else(has_domain, shown, _nothing(texts))


def _last_digits(texts: pa.Array) -> pa.Array:
    """`+49 170 1234567` becomes `***4567`; a number of fewer than eight digits shows none."""
    digits = pc.replace_substring_regex(texts, r"(?s)\D+", "")
    long = pc.greater_equal(pc.utf8_length(digits), 8)
    shown = pc.binary_join_element_wise(_HIDDEN, pc.utf8_slice_codeunits(digits, -4), "")
    return pc.if_else(long, shown, _nothing(texts))


def _nothing(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), texts, pa.scalar(_HIDDEN))


_PARTIAL: Mapping[str, Callable[[pa.Array], pa.Array]] = {"pii:email": _domain, "pii:phone": _last_digits}
