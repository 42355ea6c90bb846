"""All mutants by name."""

from tests.mutants.mutant import Mutant
from tests.mutants.of_runs import LANDING, RUNS
from tests.mutants.of_tables import CONTRACTS, GOLD, QUALITY, SILVER, STEPS

ALL = {each.name: each for each in (*SILVER, *GOLD, *STEPS, *QUALITY, *CONTRACTS, *RUNS, *LANDING)}

OPEN_GATE = Mutant(
    "open-gate", "quality/verdict.py", "return bool(self.checks) and not self.failed", "return True", of=()
)
"""Goes before every mutant: what the gate holds back, the answer would not be asked about."""

IN_CI = (
    "case-sensitive-e-mail",
    "newest-contact",
    "only-customers-of-companies",
    "erp-before-event",
    "rate-of-the-next-day",
    "month-of-local-time",
    "cancelled-orders-count",
    "oldest-instead-of-newest",
    "no-tie-break-by-landing",
    "a-rate-of-nothing",
    "no-overlap",
    "file-without-etag",
)
"""Those that every run of the tests tries; `make mutants` tries them all."""
