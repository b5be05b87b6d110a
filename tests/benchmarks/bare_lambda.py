"""The floor of a cold start: a handler that imports boto3 and makes the calls of a pass in which nothing is due."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
from botocore.config import Config

_CONFIG = Config(retries={"total_max_attempts": 1, "mode": "standard"})
_SECRETS = boto3.client("secretsmanager", endpoint_url=os.environ["BENCH_SECRETS_URL"], config=_CONFIG)
_STATE = boto3.client("dynamodb", endpoint_url=os.environ["BENCH_STATE_URL"], config=_CONFIG)


def handler(event: dict[str, Any], _: Any) -> dict[str, int]:
    """Read the named secrets and their records, and the provider's."""
    names, table = event["names"], event["table"]
    answer = _SECRETS.batch_get_secret_value(SecretIdList=names)
    keys = [{"id": {"S": "secret/" + stored["ARN"]}} for stored in answer["SecretValues"]]
    items = _STATE.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})["Responses"][table]
    _STATE.get_item(TableName=table, Key={"id": {"S": "provider/acme"}}, ConsistentRead=True)
    tokens = [json.loads(stored["SecretString"])["expires_at"] for stored in answer["SecretValues"]]
    return {"read": len(tokens), "records": len([json.loads(item["body"]["S"]) for item in items])}
