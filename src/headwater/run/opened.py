"""Opens what every piece of work on a lake needs, and closes it again."""

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from headwater.config import Settings
from headwater.contracts import project_contracts
from headwater.contracts.schema_contracts import UNHELD, in_force
from headwater.engine.embedded import EmbeddedEngine
from headwater.object_store import lake_of
from headwater.quality.gate import Gate
from headwater.quality.limits import load_limits
from headwater.run.context import Context, emitter
from headwater.run.events import Committed, Event, Observer, RunStarted
from headwater.run.mirror import Mirror
from headwater.state import Holder, Leases, open_store
from headwater.transform.table import load_tables

_LOG = logging.getLogger("headwater.run")


@contextmanager
def opened(settings: Settings, at: datetime | None, observers: Sequence[Observer]) -> Iterator[Context]:
    """The context of one piece of work, under an id of its own; `at` is what it holds to be now, by default it is.

    Raises:
        ConfigurationError: settings, contracts or limits are wrong; nothing was read or written.
        LakeError: the lake is on S3, which refuses us or does not answer.
    """
    moment = datetime.now(UTC)
    contracts, functions = project_contracts(settings), load_tables()
    limits = load_limits(settings.dq, contracts)
    if not limits.schema_contracts.enabled:
        _LOG.warning("%s: schema_contracts.enabled is false; %s", settings.dq, UNHELD)
    lake = lake_of(settings)
    lake.check()
    engine, gate, store = EmbeddedEngine(lake), Gate(limits.timeout), open_store(settings)

    judged = False

    def warm(event: Event) -> None:
        nonlocal judged
        if isinstance(event, RunStarted):
            judged = any(contracts[name].layer != "bronze" for name in event.tables)
        if isinstance(event, Committed) and judged:
            gate.warm()

    emit = emitter((warm, *observers))
    run_id = f"{moment:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:6]}"
    mirror, holder = Mirror(store, emit), Holder.here(run_id, moment)
    leases = Leases(store.documents, holder, settings.lease.ttl, settings.lease.wait, silent=mirror.silent)
    try:
        with engine:
            yield Context(
                run_id=run_id,
                began=moment,
                holder=holder,
                at=at or moment,
                settings=settings,
                contracts=in_force(contracts, limits.schema_contracts),
                functions=functions,
                engine=engine,
                state=mirror,
                leases=leases,
                gate=gate,
                limits=limits,
                emit=emit,
            )
    finally:
        leases.close()
