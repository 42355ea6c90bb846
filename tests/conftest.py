"""What every test may ask for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from headwater import sandbox
from headwater.contracts import Contracts, load_contracts
from headwater.sandbox import Status

PROJECT = Path(__file__).parent.parent

# As the embedded engine sets them; Sail reads them once, when its server starts.
_SAIL = {
    "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
    "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(1 << 30),
    "SAIL_OPTIMIZER__PREFER_HASH_JOIN": "false",
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": "86400",
    "RUST_LOG": "error",
}


@pytest.fixture(scope="session")
def contracts() -> Contracts:
    """The project's own contracts."""
    return load_contracts(PROJECT / "config" / "contracts")


@contextmanager
def sail() -> Iterator[SparkSession]:
    from pysail.spark import SparkConnectServer

    for name, value in _SAIL.items():
        os.environ.setdefault(name, value)
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    try:
        _, port = server.listening_address
        session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        yield session
        session.stop()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A PySpark session: Sail in this process, or the server that `HEADWATER_TEST_REMOTE` names (sc://host:port)."""
    if remote := os.environ.get("HEADWATER_TEST_REMOTE"):
        session = SparkSession.builder.remote(remote).create()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        yield session
        session.stop()
    else:
        with sail() as session:
            yield session


@pytest.fixture(scope="module")
def sources(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Status]:
    """The stand-ins of all six sources, which the tests of a module share; its folder says what they have (`dataset`)."""
    folder = tmp_path_factory.mktemp("sources") / ".headwater" / "sandbox"
    try:
        yield sandbox.up(folder, dataset)
    finally:
        sandbox.down(folder)
