"""Follows references to secrets. A value is read when it is asked for, kept nowhere, and never part of a message."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from headwater.errors import ConfigurationError

Reference: TypeAlias = str | dict[str, str]
"""`file:<path>`, `env:NAME`, a mapping of fields to `env:NAME`, or a name in AWS Secrets Manager."""


class Secret(dict[str, str]):
    """The fields of one secret, and for people the reference that led to them; never shows a value."""

    def __init__(self, fields: Mapping[str, str], reference: Reference) -> None:
        super().__init__(fields)
        self.reference = (
            reference
            if isinstance(reference, str)
            else ", ".join(f"{field}: {place}" for field, place in reference.items())
        )

    def __repr__(self) -> str:
        return f"Secret({', '.join(self)} of {self.reference})"


_ONLY_FIELD = {"fx_vendor": "api_key", "masking": "key"}
"""The field that a secret is when it is one value and not JSON; `password` for the others."""


class Secrets:
    """The secrets of one project by name; shows references, never values."""

    def __init__(self, references: Mapping[str, Reference], folder: Path, sought: tuple[str, ...]) -> None:
        """`folder` is where relative files begin; `sought` are the places that could have held a reference."""
        self._references = dict(references)
        self._folder = folder
        self._sought = sought

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._references))})"

    def only(self, name: str) -> "Secrets":
        """The reference to one secret alone: what a worker is given that needs no other."""
        return Secrets(
            {key: value for key, value in self._references.items() if key == name}, self._folder, self._sought
        )

    def get(self, name: str) -> Secret:
        """Read the fields of the secret `name`, such as `user` and `password`.

        Raises:
            ConfigurationError: it is nowhere; the message lists every place that was looked in.
        """
        reference = self._references.get(name)
        return Secret(self._fields(name, reference), reference or "")

    def _fields(self, name: str, reference: Reference | None) -> Mapping[str, str]:
        match reference:
            case None:
                places = ", ".join(
                    [
                        *(place for place in self._sought if place != "the environment"),
                        f"HEADWATER_SECRETS__{name.upper()}",
                    ]
                )
                raise ConfigurationError(
                    f"no secret {name}: looked for secrets.{name} in {places}; add it to the config file"
                )
            case dict():
                return self._from_fields(name, reference)
            case str() if reference.startswith("file:"):
                return self._from_file(name, reference.removeprefix("file:"))
            case str() if reference.startswith("env:"):
                return self._from_variable(name, reference.removeprefix("env:"))
            case str():
                return _from_secrets_manager(name, reference)

    def _from_fields(self, name: str, reference: Mapping[str, str]) -> Mapping[str, str]:
        values, missing = {}, []
        for field, place in reference.items():
            if not place.startswith("env:"):
                raise ConfigurationError(f"secrets.{name}.{field} must be env:NAME, never the value itself")
            variable = place.removeprefix("env:")
            if value := os.environ.get(variable):
                values[field] = value
            else:
                missing.append(variable)
        if missing:
            raise ConfigurationError(
                f"no secret {name}: looked in the environment for {', '.join(missing)} (secrets.{name}), not set; export it"
            )
        return values

    def _from_file(self, name: str, place: str) -> Mapping[str, str]:
        file = self._folder / Path(place).expanduser()
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"no secret {name}: looked in the file {file} (secrets.{name}): {error.strerror}; create it, or refer elsewhere"
            ) from error
        if mode & 0o077:
            raise ConfigurationError(
                f"the secret {name} in {file} is open to other users (mode {mode:o}); run: chmod 600 {file}"
            )
        return _fields(name, text, f"the file {file}", json_only=True)

    def _from_variable(self, name: str, variable: str) -> Mapping[str, str]:
        text = os.environ.get(variable)
        if not text:
            raise ConfigurationError(
                f"no secret {name}: looked in the environment for {variable} (secrets.{name}), not set; export it"
            )
        return _fields(name, text, f"the environment variable {variable}")


def _from_secrets_manager(name: str, reference: str) -> Mapping[str, str]:
    place = f"AWS Secrets Manager for {reference}"
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise ConfigurationError(
            f"no secret {name}: secrets.{name} is a name in AWS Secrets Manager, which needs the extra aws; "
            f"install it (pip install 'headwater[aws]'), or refer to file:<path> or env:NAME"
        ) from error
    try:
        answer = boto3.client("secretsmanager").get_secret_value(SecretId=reference)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        raise ConfigurationError(
            f"no secret {name}: looked in {place} (secrets.{name}): {code}; create it or correct the name"
        ) from error
    except BotoCoreError as error:
        raise ConfigurationError(
            f"no secret {name}: looked in {place} (secrets.{name}): {error}; check AWS_PROFILE, AWS_REGION and the network"
        ) from error
    return _fields(name, answer.get("SecretString", ""), place)


def _fields(name: str, text: str, place: str, *, json_only: bool = False) -> Mapping[str, str]:
    """A JSON object's fields as text; anything else is one value. The text itself never reaches a message."""
    try:
        document = json.loads(text)
    except ValueError:
        document = text
    match document:
        case dict() if document and all(isinstance(value, str | int | float) for value in document.values()):
            return {str(field): str(value) for field, value in document.items()}
        case dict() | list():
            raise ConfigurationError(
                f"the secret {name} in {place} must be one JSON object of texts, such as user and password"
            )
        case _ if json_only or not text.strip():
            raise ConfigurationError(
                f"the secret {name} in {place} is empty or not a JSON object with fields such as user and password"
            )
        case _:
            return {_ONLY_FIELD.get(name, "password"): text.strip()}
