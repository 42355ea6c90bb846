"""AWS on this machine: moto's server in a process of its own, found as the real one is found."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest

from headwater.config import AwsSettings

REGION = "eu-central-1"
KEYS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": REGION}
_SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def served(*buckets: str) -> Iterator[AwsSettings]:
    """A server with these buckets, and credentials for it in the environment; it ends with whoever asked for it.

    (In a thread of the process that asks, a server would starve: some of delta-rs's calls hold the interpreter.)
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server,
    ):
        for name, value in KEYS.items():
            patch.setenv(name, value)
        for name in ("AWS_ENDPOINT", "AWS_REGION", "AWS_ALLOW_HTTP"):
            patch.delenv(name, raising=False)  # what an engine tells Sail goes with the server
        assert server.stdout
        assert server.stdin
        endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
        s3 = boto3.client("s3", endpoint_url=endpoint)
        for bucket in buckets:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        try:
            yield AwsSettings(REGION, endpoint)
        finally:
            server.stdin.close()
