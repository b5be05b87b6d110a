"""A refresher as a good engineer would write it in an afternoon: what rotator is measured against.

    python -m tests.chaos.naive CONFIG run|once

Reads rotator's configuration file. Reads the secret; if it expires soon, asks for new tokens with the usual retries,
merges them and writes the secret back. Other fields are kept, a failure of one credential does not stop the others,
nothing is logged that is secret. What it lacks is what nobody writes in an afternoon: a claim, an escrow, doubt.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

log = logging.getLogger("refresher")

POLL_S = 2.0
RETRIES = Retry(
    total=3, backoff_factor=0.2, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None, raise_on_status=False
)


def http(pool: int) -> requests.Session:
    """Return a session that retries connection errors, 429 and 5xx three times, and honours Retry-After."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=RETRIES, pool_maxsize=pool))
    session.mount("https://", HTTPAdapter(max_retries=RETRIES, pool_maxsize=pool))
    return session


# ----------------------------------------------------------------------------------------------------- the stores


class Store(Protocol):
    """Documents by name."""

    def load(self, name: str) -> dict[str, Any]: ...

    def save(self, name: str, document: dict[str, Any]) -> None: ...


class SqliteStore:
    """One table in a file of this machine."""

    def __init__(self, path: str) -> None:
        self._path = path
        with self._connected() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, document TEXT NOT NULL)")

    def load(self, name: str) -> dict[str, Any]:
        with self._connected() as connection:
            (text,) = connection.execute("SELECT document FROM secret WHERE name = ?", (name,)).fetchone()
        document: dict[str, Any] = json.loads(text)
        return document

    def save(self, name: str, document: dict[str, Any]) -> None:
        sql = "INSERT INTO secret VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET document = excluded.document"
        with self._connected() as connection:
            connection.execute(sql, (name, json.dumps(document)))

    @contextlib.contextmanager
    def _connected(self) -> Any:
        with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
            yield connection


class AwsStore:
    """AWS Secrets Manager, with the SDK's own retries."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import boto3
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "max_attempts": 3}, max_pool_connections=16)
        self._client = boto3.client(
            "secretsmanager",
            region_name=settings.get("region"),
            endpoint_url=settings.get("endpoint_url"),
            config=config,
        )

    def load(self, name: str) -> dict[str, Any]:
        answer = self._client.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
        document: dict[str, Any] = json.loads(answer["SecretString"])
        return document

    def save(self, name: str, document: dict[str, Any]) -> None:
        text = json.dumps(document)
        try:
            self._client.put_secret_value(SecretId=name, SecretString=text)
        except self._client.exceptions.ResourceNotFoundException:
            self._client.create_secret(Name=name, SecretString=text)


class VaultStore:
    """Vault KV version 2."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import hvac

        self._mount = settings.get("mount", "secret")
        client = hvac.Client(url=settings["address"], token=os.environ["VAULT_TOKEN"], session=http(16))
        self._kv = client.secrets.kv.v2

    def load(self, name: str) -> dict[str, Any]:
        answer = self._kv.read_secret_version(path=name, mount_point=self._mount, raise_on_deleted_version=True)
        document: dict[str, Any] = answer["data"]["data"]
        return document

    def save(self, name: str, document: dict[str, Any]) -> None:
        self._kv.create_or_update_secret(path=name, secret=document, mount_point=self._mount)


def store_of(config: dict[str, Any]) -> Store:
    """Return the one store of a configuration."""
    (settings,) = config["stores"].values()
    if settings["type"] == "local":
        return SqliteStore(settings["path"])
    return AwsStore(settings) if settings["type"] == "aws-secrets-manager" else VaultStore(settings)


# ------------------------------------------------------------------------------------------------------ the work


class Refresher:
    """Keeps the credentials of a configuration fresh."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._providers = config["providers"]
        self._credentials = config["credentials"]
        self._workers = config.get("workers", 8)
        self._store = store_of(config)
        self._http = http(self._workers)

    def run(self) -> None:
        """Refresh what is due, for ever."""
        while True:
            self.once()
            time.sleep(POLL_S)

    def once(self) -> int:
        """Refresh what is due and return how many failed."""
        with ThreadPoolExecutor(self._workers) as pool:
            return sum(pool.map(self._kept_fresh, self._credentials))

    def _kept_fresh(self, credential: dict[str, Any]) -> bool:
        try:
            self._refresh_if_due(credential)
        except Exception as error:  # noqa: BLE001 - one credential's trouble must not stop the others
            log.error("%s: %s", credential["name"], type(error).__name__)  # noqa: TRY400 - a trace could show a token
            return True
        return False

    def _refresh_if_due(self, credential: dict[str, Any]) -> None:
        document = self._store.load(credential["secret"])
        if not expires_soon(document):
            return
        provider = self._providers[credential["provider"]]
        sent_at = time.time()
        response = self._http.post(
            provider["token_endpoint"],
            data={
                "grant_type": "refresh_token",
                "refresh_token": document["refresh_token"],
                "client_id": credential["client_id"],
                "client_secret": os.environ[credential["client_secret"]["env"]],
            },
            timeout=float(provider["timeout"].removesuffix("s")),
        )
        response.raise_for_status()
        tokens = response.json()
        document |= tokens
        document["issued_at"] = int(sent_at)
        document["expires_at"] = int(sent_at + tokens["expires_in"])
        self._store.save(credential["secret"], document)
        log.info("%s: refreshed", credential["name"])


def expires_soon(document: dict[str, Any]) -> bool:
    """Return whether less than a minute is left, or less than half of a life that is shorter than two."""
    left_s: float = document["expires_at"] - time.time()
    return left_s < min(60.0, document["expires_in"] / 2)


def main(arguments: list[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.naive", description="keeps credentials fresh")
    parser.add_argument("config", type=Path)
    parser.add_argument("command", choices=("run", "once"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    refresher = Refresher(yaml.safe_load(options.config.read_text()))
    if options.command == "once":
        return 1 if refresher.once() else 0
    refresher.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
