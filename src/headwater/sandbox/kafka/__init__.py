"""Kafka's stand-in: a real broker, with a dataset's topics."""

from headwater.sandbox.kafka.stand_in import KafkaStandIn

__all__ = ["KafkaStandIn"]
