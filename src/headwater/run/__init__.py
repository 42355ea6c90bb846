"""Plans and runs: moves every table forward by what its inputs have that it lacks."""

from headwater.run.execute import execute

__all__ = ["execute"]
