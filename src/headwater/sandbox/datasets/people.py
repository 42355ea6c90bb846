"""Invented people: the same number is the same person in every source of a dataset."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.sandbox.datasets.columns import choose, decimal_text, joined, nulled, padded, replaced
from headwater.sandbox.datasets.draws import Ints, below, weighted
from headwater.sandbox.datasets.names import (
    COUNTRIES,
    DOMAINS,
    FIRST_NAMES,
    FIRST_SLUGS,
    LAST_NAMES,
    LAST_SLUGS,
    STREETS,
)

CODES = [country[0] for country in COUNTRIES]
CURRENCIES = [country[2] for country in COUNTRIES]
CITIES = [country[3] for country in COUNTRIES]
LEVELS = np.array([country[4] for country in COUNTRIES])


def country_of(person: Ints) -> Ints:
    """A position in `COUNTRIES` per person."""
    return weighted("person.country", person, [country[1] for country in COUNTRIES])


def first_names(person: Ints) -> pa.Array:
    """Given names, some beyond ASCII."""
    return choose(FIRST_NAMES, below("person.first", person, len(FIRST_NAMES)))


def last_names(person: Ints) -> pa.Array:
    """Family names, some beyond ASCII, with spaces, hyphens and apostrophes."""
    return choose(LAST_NAMES, below("person.last", person, len(LAST_NAMES)))


def emails(person: Ints, version: Ints) -> pa.Array:
    """A clean, unique address per person; another version has another one."""
    first = choose(FIRST_SLUGS, below("person.first", person, len(FIRST_SLUGS)))
    last = choose(LAST_SLUGS, below("person.last", person, len(LAST_SLUGS)))
    domain = choose(DOMAINS, (below("person.domain", person, len(DOMAINS)) + version) % len(DOMAINS))
    return joined(first, ".", last, decimal_text(person), "@", domain)


def untidy(addresses: pa.Array, index: Ints) -> pa.Array:
    """The addresses as people type them: one in 23 in capitals, one in 29 with spaces, few empty, few null."""
    typed = replaced(addresses, index % 23 == 4, pc.utf8_upper(addresses))
    typed = replaced(typed, index % 29 == 3, joined("  ", typed, " "))
    typed = replaced(typed, index % 211 == 10, "")
    return nulled(typed, index % 101 == 50)


def phones(person: Ints) -> pa.Array:
    """Numbers of a range that belongs to nobody."""
    return padded("+1-555-", below("person.phone", person, 10_000_000), 7)


def streets(person: Ints) -> pa.Array:
    """A street and a number."""
    number = decimal_text(1 + below("person.number", person, 180))
    return joined(choose(STREETS, below("person.street", person, len(STREETS))), " ", number)
