"""What is true of each table: its columns, types, keys, references and classification.

A contract is one Open Data Contract Standard v3.1 file, `config/contracts/<layer>/<table>.yaml`. `physicalType` holds
the Spark SQL type and is what counts; `required`, `enum`, `logicalTypeOptions` and `relationships` become row rules.
"""

from headwater.contracts.contract import CLASSIFICATIONS, Column, Contract, ForeignKey, Layer
from headwater.contracts.odcs import Contracts, load_contracts
from headwater.contracts.schema_contracts import project_contracts

__all__ = [
    "CLASSIFICATIONS",
    "Column",
    "Contract",
    "Contracts",
    "ForeignKey",
    "Layer",
    "load_contracts",
    "project_contracts",
]
