"""A real Apache Kafka broker: one node, SASL_SSL with SCRAM-SHA-512, gone when its host is gone."""

import base64
import logging
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headwater.errors import SandboxError
from headwater.sandbox.certificates import server_certificate
from headwater.sandbox.child import Child
from headwater.sandbox.credentials import remembered_secrets
from headwater.sandbox.jars import kafka_jars
from headwater.sandbox.java import argument_file, java
from headwater.sandbox.ports import free_port, listening_socket
from headwater.sandbox.private_file import write_private
from headwater.sandbox.stand_in import log_file

ADMIN = "sandbox"
READER = "headwater"
_CONTROLLER = "controller"
_READY_WITHIN_S = 60.0
_HEAP = "256m"
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true")

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=SECURE://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=SECURE://127.0.0.1:{advertised_port}
listener.security.protocol.map=SECURE:SASL_SSL,CONTROLLER:SASL_PLAINTEXT
inter.broker.listener.name=SECURE
controller.listener.names=CONTROLLER
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
sasl.mechanism.controller.protocol=PLAIN
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={server_pem}
listener.name.secure.ssl.truststore.type=PEM
listener.name.secure.ssl.truststore.location={authority_pem}
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="{admin}" password="{admin_password}";
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="{controller}" password="{controller_password}" user_{controller}="{controller_password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:{controller}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
log.index.size.max.bytes=1048576
# a dataset's messages carry the times of its story, years ago or ahead: none is old, none is refused
log.retention.ms=-1
log.retention.bytes=-1
log.roll.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
log.message.timestamp.before.max.ms=9223372036854775807
"""
_LOGGING = """\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c: %m%n
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
"""


@dataclass(frozen=True)
class Broker:
    """A broker that answers: its address, who may do what, and the authority that signed its certificate."""

    bootstrap_servers: str
    authority: Path
    admin_password: str
    reader_password: str

    def as_admin(self) -> dict[str, Any]:
        """How `confluent_kafka` connects as the one who may do everything."""
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": ADMIN,
            "sasl.password": self.admin_password,
            "ssl.ca.location": str(self.authority),
            "logger": logging.getLogger("headwater.sandbox.kafka"),
            "log_level": 0,
            "error_cb": lambda _error: None,  # while it starts nobody answers yet; what matters is checked
        }


class BrokerProcess:
    """The broker in one folder: its data, its certificate, its users, its log."""

    def __init__(self, folder: Path) -> None:
        """Nothing happens before `start`."""
        self._folder = folder
        self._data = folder / "data"
        self._properties = folder / "server.properties"
        self._log = log_file(folder)
        self._child = Child(folder, mark=str(self._properties))

    def end_orphan(self) -> None:
        """End a broker of this folder that an earlier host left behind."""
        self._child.end_orphan()

    def forget_data(self) -> None:
        """Delete every message and topic; the broker must not run."""
        shutil.rmtree(self._data, ignore_errors=True)

    def start(self, port: int | None, advertised_port: int | None = None) -> Broker:
        """Start on `port` or a free one, and wait until it answers; clients are sent to the advertised port.

        Raises:
            SandboxError: it ended or did not answer in time; names its log.
        """
        jars = kafka_jars()
        self._folder.mkdir(parents=True, exist_ok=True)
        users = remembered_secrets(self._folder, admin_password="", reader_password="", controller_password="")
        certificate = server_certificate(self._folder)
        with listening_socket(port) as held:  # while the other is looked for, which must not be the same
            port, controller_port = held.getsockname()[1], free_port()
        self._write_properties(
            port=port,
            advertised_port=advertised_port or port,
            controller_port=controller_port,
            server_pem=certificate.server,
            authority_pem=certificate.authority,
            admin=ADMIN,
            controller=_CONTROLLER,
            admin_password=users["admin_password"],
            controller_password=users["controller_password"],
            data=self._data,
        )
        if not (self._data / "meta.properties").is_file():
            self._format(jars, users)
        broker = Broker(f"127.0.0.1:{port}", certificate.authority, users["admin_password"], users["reader_password"])
        self._child.start([str(java()), *self._options(jars), "kafka.Kafka", str(self._properties)], self._log)
        self._wait_until_it_answers(broker)
        return broker

    def stop(self) -> None:
        """End the broker if it runs, and wait until it is gone."""
        self._child.stop()

    def _options(self, jars: Path) -> list[str]:
        logging_file = self._folder / "log4j2.properties"
        logging_file.write_text(_LOGGING, encoding="utf-8")
        return [f"-Xmx{_HEAP}", *_JVM, f"-Dlog4j2.configurationFile={logging_file}", "-cp", f"{jars}/*"]

    def _write_properties(self, **values: object) -> None:
        write_private(self._properties, _PROPERTIES.format(**values))

    def _format(self, jars: Path, users: dict[str, str]) -> None:
        """Make an empty cluster that knows its two users. What the tool prints holds their keys: it is not kept."""
        shutil.rmtree(self._data, ignore_errors=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # an id that starts with a dash would be taken for an option
        command = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self._properties)]
        for name, password in ((ADMIN, users["admin_password"]), (READER, users["reader_password"])):
            command += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        arguments = self._folder / "format.arguments"
        try:
            done = subprocess.run(
                [java(), argument_file(arguments, [*self._options(jars), *command])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=_READY_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SandboxError("Kafka's storage was not ready in time: is the machine very busy? Try again") from error
        finally:
            arguments.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            said = "\n".join(line for line in done.stderr.splitlines() if "SCRAM" not in line)[-500:]
            raise SandboxError(f"Kafka's storage under {self._data} could not be made: {said}")

    def _wait_until_it_answers(self, broker: Broker) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        admin = AdminClient(broker.as_admin() | {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200})
        while time.monotonic() < deadline:
            if self._child.has_ended():
                raise SandboxError(f"the Kafka broker ended while starting: {self._log} says why")
            try:
                if admin.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                time.sleep(0.05)
        raise SandboxError(f"the Kafka broker did not answer within {_READY_WITHIN_S:.0f} s: see {self._log}")
