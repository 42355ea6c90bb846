"""The state store: watermarks that mirror the tables, and the ledger of runs."""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.state.documents import Document, Documents
from headwater.state.leases import Holder

_WATERMARKS, _RUNS, _STEPS, _FORGETTINGS = "watermarks", "runs", "steps", "forgettings"


class StateStore:
    """What people and later runs want to know without opening a table. Where the two differ, the table is right."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    def get_watermark(self, table: str) -> Mapping[str, Any] | None:
        """The position that a Bronze table's last known commit recorded; None if none is known or it can't be read.

        Raises:
            StateUnavailable: the store did not answer.
        """
        document = self.documents.get(_WATERMARKS, table)
        return document.content if document else None

    def upsert_watermark(self, table: str, position: Mapping[str, Any]) -> None:
        """Mirror what a Bronze table's commit recorded; raises as `get_watermark` does."""
        self.documents.put(_WATERMARKS, table, position)

    def record_run(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Put what is known of a run into the ledger: when it begins, and once more when it has ended."""
        self.documents.put(_RUNS, run_id, document)

    def record_step(self, run_id: str, table: str, document: Mapping[str, Any]) -> None:
        """Put what one run did with one table into the ledger."""
        self.documents.put(_STEPS, f"{run_id}/{table}", document)

    def run_ids(self) -> list[str]:
        """Every run of the ledger, oldest first; raises as `get_watermark` does."""
        return self.documents.names(_RUNS)

    def run(self, run_id: str) -> Mapping[str, Any] | None:
        """What is known of a run; None if there is no such run."""
        document = self.documents.get(_RUNS, run_id)
        return document.content if document else None

    def has_ended(self, run_id: str) -> bool | None:
        """Whether a run has said that it ended, or its process is known to be gone; None if the ledger has no such run.

        Raises as `get_watermark` does.
        """
        document = self.run(run_id)
        if document is None or "exit_code" in document:
            return None if document is None else True
        holder = Holder.read(Document(document, ""))
        return holder is not None and self.documents.on_this_machine and holder.is_gone()

    def record_forgetting(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Put what is known of a forgetting into the ledger: before anything is written, and once more at its end.

        Raises as `get_watermark` does. It says which tables, who and why, and nothing of the person.
        """
        self.documents.put(_FORGETTINGS, run_id, document)

    def unfinished_forgettings(self) -> dict[str, Mapping[str, Any]]:
        """Those that have not said that they ended, by their ids; raises as `get_watermark` does."""
        told = {name: self.documents.get(_FORGETTINGS, name) for name in self.documents.names(_FORGETTINGS)}
        known = {name: document.content for name, document in told.items() if document is not None}
        return {name: content for name, content in known.items() if content is not None and "ended" not in content}

    def scrub(self, change: Callable[[str, str], str]) -> int:
        """Put the ledger's texts through `change`, which is told the name of each, and say how many documents that changed."""
        changed = 0
        for kind in (_RUNS, _STEPS, _FORGETTINGS):
            for name in self.documents.names(kind):
                document = self.documents.get(kind, name)
                if document is not None and document.content is not None:
                    scrubbed = _scrubbed(document.content, change, kind)
                    if scrubbed != document.content:
                        self.documents.put(kind, name, scrubbed)
                        changed += 1
        return changed

    def steps(self, run_id: str) -> dict[str, Mapping[str, Any]]:
        """What a run did, by table, as far as it came."""
        steps: dict[str, Mapping[str, Any]] = {}
        for name in self.documents.names(_STEPS, f"{run_id}/"):
            document = self.documents.get(_STEPS, name)
            if document is not None and document.content is not None:
                steps[name.partition("/")[2]] = document.content
        return steps


def _scrubbed(told: Any, change: Callable[[str, str], str], name: str) -> Any:
    """The same document with its texts changed."""
    match told:
        case str():
            return change(name, told)
        case Mapping():
            return {each: _scrubbed(value, change, each) for each, value in told.items()}
        case list():
            return [_scrubbed(value, change, name) for value in told]
        case _:
            return told
