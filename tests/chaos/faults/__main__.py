"""Puts every fault in front of every source, and prints what answered it: `python -m tests.chaos.faults [pytest's options]`."""

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-q", str(Path(__file__).parent), *sys.argv[1:]]))
