"""The key of keyed hashes: what travels to workers is where it is and which one is meant, never the key itself."""

import hmac
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from headwater.errors import ConfigurationError
from headwater.secrets import Secrets

SECRET: Final = "masking"  # noqa: S105 - a name
"""The name of the key below `secrets:`."""

_FIELD: Final = "key"
_LEAST_CHARACTERS: Final = 32
_ID_OF: Final = b"headwater: the id of this masking key"
_HELD: dict[str, bytes] = {}
"""Keys of this process by their ids: a worker follows the reference once."""


@dataclass(frozen=True)
class Key:
    """A reference to a key, and the id of the key that stood there when the run began.

    The id is a keyed hash of a constant: it tells keys apart and nothing else about them.
    """

    secrets: Secrets
    id: str

    @classmethod
    def standing(cls, secrets: Secrets) -> "Key":
        """The key that the reference leads to now.

        Raises:
            ConfigurationError: there is none, or it is too short to protect anything.
        """
        only = secrets.only(SECRET)
        key = _read(only)
        name = _id(key)
        _HELD[name] = key
        return cls(only, name)

    def hashes(self, values: pa.Array, kind: str) -> pa.Array:
        """HMAC-SHA-256 of texts in hexadecimal: of `<kind>`, a zero byte and the text in UTF-8; null stays null."""
        key, about = self._value(), kind.encode() + b"\0"
        texts = values.cast(pa.binary()).to_pylist()
        hashed = [None if text is None else hmac.digest(key, about + text, "sha256").hex() for text in texts]
        return pa.array(hashed, pa.string())

    def _value(self) -> bytes:
        held = _HELD.get(self.id)
        if held is None:
            held = _read(self.secrets)
            if _id(held) != self.id:
                raise ConfigurationError(
                    f"the key of secrets.{SECRET} on this worker is not the one that the run began with; run again"
                )
            _HELD[self.id] = held
        return held


def _read(secrets: Secrets) -> bytes:
    fields = secrets.get(SECRET)
    key = fields.get(_FIELD, "")
    if len(key) < _LEAST_CHARACTERS:
        raise ConfigurationError(
            f"secrets.{SECRET}: its field {_FIELD} must hold {_LEAST_CHARACTERS} characters or more; "
            f"`openssl rand -hex 32` makes one"
        )
    return key.encode()


def _id(key: bytes) -> str:
    return hmac.digest(key, _ID_OF, "sha256").hex()[:16]
