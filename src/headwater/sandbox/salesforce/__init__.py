"""Salesforce's stand-in: its REST and Bulk APIs over a dataset's records."""

from headwater.sandbox.salesforce.stand_in import SalesforceStandIn

__all__ = ["SalesforceStandIn"]
