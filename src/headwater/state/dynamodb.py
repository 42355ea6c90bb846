"""State in DynamoDB: an item for each document, swapped under a condition."""

import uuid
from collections.abc import Mapping
from typing import Any

from headwater.errors import ConfigurationError, StateUnavailable
from headwater.state.documents import Document, decoded, encoded


class DynamoDocuments:
    """Items of one table with the partition key `kind` and the sort key `name`, both texts.

    Source: Amazon DynamoDB developer guide, "Condition expressions". Reads are strongly consistent.
    """

    on_this_machine = False

    def __init__(self, uri: str, region: str | None, endpoint_url: str | None) -> None:
        """Credentials are boto3's to find.

        Raises:
            ConfigurationError: the URI names no table, or boto3 is not installed.
        """
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise ConfigurationError(
                "state_store: DynamoDB needs the extra aws; install it: pip install 'headwater[aws]'"
            ) from error
        self.place = uri
        self._table = uri.removeprefix("dynamodb://").strip("/")
        if not self._table:
            raise ConfigurationError(f"state_store: {uri} names no table; write dynamodb://<table>")
        settled = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 4})
        self._client: Any = boto3.client("dynamodb", region_name=region, endpoint_url=endpoint_url, config=settled)

    def get(self, kind: str, name: str) -> Document | None:
        answer = self._asked("get_item", Key=_key(kind, name), ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            return None
        raw = item.get("document", {}).get("S", "")
        return Document(decoded(raw), item.get("tag", {}).get("S", ""))

    def put(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        self._asked("put_item", Item=_item(kind, name, content, uuid.uuid4().hex))

    def swap(self, kind: str, name: str, content: Mapping[str, Any], tag: str | None) -> str | None:
        fresh = uuid.uuid4().hex
        if tag is None:
            condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#kind)"}
            condition["ExpressionAttributeNames"] = {"#kind": "kind"}
        elif tag == "":
            condition = {"ConditionExpression": "attribute_not_exists(tag)"}
        else:
            condition = {"ConditionExpression": "tag = :tag", "ExpressionAttributeValues": {":tag": {"S": tag}}}
        answer = self._asked("put_item", Item=_item(kind, name, content, fresh), **condition)
        return fresh if answer else None

    def sweep(self) -> int:
        return 0  # nothing is ever half-written here

    def names(self, kind: str, prefix: str = "") -> list[str]:
        asked: dict[str, Any] = {
            "KeyConditionExpression": "#kind = :kind" + (" AND begins_with(#name, :prefix)" if prefix else ""),
            "ExpressionAttributeNames": {"#kind": "kind", "#name": "name"},
            "ExpressionAttributeValues": {":kind": {"S": kind}} | ({":prefix": {"S": prefix}} if prefix else {}),
            "ProjectionExpression": "#name",
            "ConsistentRead": True,
        }
        names: list[str] = []
        while True:
            answer = self._asked("query", **asked)
            names += [item["name"]["S"] for item in answer.get("Items", ())]
            if not (last := answer.get("LastEvaluatedKey")):
                return sorted(names)
            asked["ExclusiveStartKey"] = last

    def _asked(self, verb: str, **parameters: Any) -> dict[str, Any]:
        """The answer; empty where a condition did not hold."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return dict(getattr(self._client, verb)(TableName=self._table, **parameters))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            if code == "ConditionalCheckFailedException":
                return {}
            fix = _NO_TABLE.format(table=self._table) if code == "ResourceNotFoundException" else ""
            raise StateUnavailable(f"the state store {self.place} refused {verb}: {code}{fix}") from error
        except BotoCoreError as error:
            raise StateUnavailable(f"the state store {self.place} did not answer: {error}") from error


_NO_TABLE = (
    "; make the table: aws dynamodb create-table --table-name {table} --billing-mode PAY_PER_REQUEST "
    "--attribute-definitions AttributeName=kind,AttributeType=S AttributeName=name,AttributeType=S "
    "--key-schema AttributeName=kind,KeyType=HASH AttributeName=name,KeyType=RANGE"
)


def _key(kind: str, name: str) -> dict[str, Any]:
    return {"kind": {"S": kind}, "name": {"S": name}}


def _item(kind: str, name: str, content: Mapping[str, Any], tag: str) -> dict[str, Any]:
    return {**_key(kind, name), "tag": {"S": tag}, "document": {"S": encoded(content).decode()}}
