"""The floors: the SDK calls that a rotation cannot do without, bare, in the order in which rotator makes them.

A floor is a refresher that a careful person would write in an afternoon if nothing ever failed. It keeps no promise.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import httpcore
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.benchmarks.fleets import CLIENT_ID, CLIENT_SECRET, ENVIRONMENT, TABLE, Fleet, name_of
from tests.benchmarks.stubs.secrets_manager import CURRENT

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "floor"
"""Of the names of the floor's secrets, so that the two sides of a round never meet."""

SEALED_BYTES = 1200
"""As long as a sealed entry of the escrow that holds a token set of the usual size."""

AUDIT_LINE = b'{"event": "%s"}\n' % (b"x" * 400)
"""As long as an audit event."""

STORE_BATCH = 20
STATE_BATCH = 100
"""How many ids BatchGetSecretValue takes, and BatchGetItem."""

VERSION_CHARACTERS = 36
"""Of a version id; Secrets Manager takes 32 to 64."""

RESERVED_BYTES = 16 * 1024
"""As much room as a file escrow takes in advance (`rotator.escrow.file`)."""


class Floor(Protocol):
    """Refreshes the credentials of its numbers; for many threads."""

    def chunks(self, count: int) -> list[range]:
        """Return which of the first `count` credentials are looked at together."""
        ...

    def look(self, numbers: range) -> None:
        """Read what says whether anything is due, as a pass does before it begins."""
        ...

    def rotate(self, number: int) -> None:
        """Read, send, write."""
        ...


def cut(count: int, size: int) -> list[range]:
    """Return the numbers up to `count` in ranges of at most `size`."""
    return [range(begin, min(count, begin + size)) for begin in range(0, count, size)]


class Journal:
    """An audit trail's floor: one line, one write, one flush."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()

    def record(self) -> None:
        """Append a line, durably."""
        with self._lock:
            os.write(self._descriptor, AUDIT_LINE)
            os.fsync(self._descriptor)


class NoJournal:
    """Records nothing."""

    def record(self) -> None:
        """Do nothing."""


def exchanged(fleet: Fleet, refresh_token: str) -> dict[str, Any]:
    """Post a refresh request on a fresh connection, and return the document that comes of it."""
    sent_s = int(time.time())
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }
    url = httpcore.URL(f"{fleet.stubs['token_endpoint'].url}/token")
    body = urlencode(fields).encode()
    headers = {"Host": url.host.decode(), "Content-Length": str(len(body))}
    with httpcore.HTTPConnection(url.origin) as connection:
        answer = connection.request("POST", url, headers=headers, content=body)
    tokens: dict[str, Any] = json.loads(answer.content)
    return {**tokens, "issued_at": sent_s, "expires_at": sent_s + tokens["expires_in"]}


class AwsFloor:
    """One read, one put, one move of the label; two reads and three writes of the state; one token request."""

    def __init__(self, fleet: Fleet, workers: int, journal: Journal | NoJournal) -> None:
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=5.0,
            read_timeout=10.0,
            max_pool_connections=workers,
        )
        session = boto3.Session()
        self._secrets = session.client("secretsmanager", endpoint_url=fleet.secrets_url, config=config)
        self._state = session.client("dynamodb", endpoint_url=fleet.state_url, config=config)
        self._fleet = fleet
        self._journal = journal

    def chunks(self, count: int) -> list[range]:
        """See `Floor`."""
        return cut(count, STATE_BATCH)

    def look(self, numbers: range) -> None:
        """See `Floor`."""
        names = [name_of(number, PREFIX) for number in numbers]
        for few in cut(len(names), STORE_BATCH):
            answer = self._secrets.batch_get_secret_value(SecretIdList=names[few.start : few.stop])
            for stored in answer["SecretValues"]:
                json.loads(stored["SecretString"])
        keys = [{"id": {"S": f"secret/{self._fleet.identity(name)}"}} for name in names]
        answer = self._state.batch_get_item(RequestItems={TABLE: {"Keys": keys, "ConsistentRead": True}})
        for item in answer["Responses"][TABLE]:
            json.loads(item["body"]["S"])
        self._get("provider/floor")

    def rotate(self, number: int) -> None:
        """See `Floor`."""
        name = name_of(number, PREFIX)
        stored = self._secrets.get_secret_value(SecretId=name, VersionStage=CURRENT)
        key = f"secret/{self._fleet.identity(name)}"
        item = self._get(key) or {"revision": {"N": "0"}, "body": {"S": "{}"}}
        self._get("provider/floor")
        revision, body = int(item["revision"]["N"]), item["body"]["S"]
        self._put(key, body, revision)
        self._journal.record()
        document = exchanged(self._fleet, json.loads(stored["SecretString"])["refresh_token"])
        self._put(key, body + " " * SEALED_BYTES, revision + 1)
        version = document["refresh_token"].rjust(VERSION_CHARACTERS, "-")
        self._secrets.put_secret_value(
            SecretId=name,
            ClientRequestToken=version,
            SecretString=json.dumps(document),
            VersionStages=["rotator"],
        )
        self._secrets.update_secret_version_stage(
            SecretId=name, VersionStage=CURRENT, RemoveFromVersionId=stored["VersionId"], MoveToVersionId=version
        )
        self._put(key, body, revision + 2)
        self._journal.record()

    def _get(self, key: str) -> Any:
        return self._state.get_item(TableName=TABLE, Key={"id": {"S": key}}, ConsistentRead=True).get("Item")

    def _put(self, key: str, body: str, expected: int) -> None:
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if expected:
            values = {":expected": {"N": str(expected)}}
            condition = {"ConditionExpression": "revision = :expected", "ExpressionAttributeValues": values}
        item = {"id": {"S": key}, "revision": {"N": str(expected + 1)}, "body": {"S": body}}
        self._state.put_item(TableName=TABLE, Item=item, **condition)


class VaultFloor:
    """Three reads, four writes with check-and-set, one token request."""

    def __init__(self, fleet: Fleet, workers: int, journal: Journal | NoJournal) -> None:
        import hvac
        import requests
        from requests.adapters import HTTPAdapter

        http = requests.Session()
        http.mount("http://", HTTPAdapter(pool_maxsize=workers, pool_block=True, max_retries=0))
        token = ENVIRONMENT["VAULT_TOKEN"]
        self._kv = hvac.Client(fleet.secrets_url, token=token, session=http, timeout=10.0).secrets.kv.v2
        self._fleet = fleet
        self._journal = journal

    def chunks(self, count: int) -> list[range]:
        """See `Floor`: none, for Vault has no bulk read, and what was read singly is good for the rotation."""
        return []

    def look(self, numbers: range) -> None:
        """See `Floor`."""

    def rotate(self, number: int) -> None:
        """See `Floor`."""
        name = name_of(number, PREFIX)
        stored = self._kv.read_secret_version(name, raise_on_deleted_version=True)["data"]
        path = f"rotator/state/{PREFIX}-{number:06d}"
        found = self._read(path) or {"data": {"record": "{}"}, "metadata": {"version": 0}}
        self._read("rotator/state/provider")
        record, version = found["data"]["record"], found["metadata"]["version"]
        self._write(path, {"record": record}, version)
        self._journal.record()
        document = exchanged(self._fleet, stored["data"]["refresh_token"])
        self._write(path, {"record": record + " " * SEALED_BYTES}, version + 1)
        self._write(name, document, stored["metadata"]["version"])
        self._write(path, {"record": record}, version + 2)
        self._journal.record()

    def _read(self, path: str) -> Any:
        import hvac.exceptions

        try:
            return self._kv.read_secret_version(path, raise_on_deleted_version=True)["data"]
        except hvac.exceptions.InvalidPath:
            return None

    def _write(self, path: str, data: dict[str, Any], cas: int) -> None:
        self._kv.create_or_update_secret(path, secret=data, cas=cas)


class LocalFloor:
    """Three reads and three flushed transactions on SQLite, an escrow file with its five flushes, one token request.

    A connection for each thread, never closed; rotator opens one for each transaction and says why
    (`rotator.sqlite`). Documents are sealed as rotator's are.
    """

    def __init__(self, fleet: Fleet, count: int, journal: Journal | NoJournal, claims: int) -> None:
        self._fleet = fleet
        self._journal = journal
        self._of_thread = threading.local()
        self._aes = AESGCM(bytes(32))
        self._folder = fleet.folder / "floor-escrow"
        self._folder.mkdir(exist_ok=True)
        self._path = fleet.folder / "floor.db"
        document = json.dumps({"refresh_token": "", "access_token": "x" * 600})
        with contextlib.closing(self._opened()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE IF NOT EXISTS row (key TEXT PRIMARY KEY, body BLOB NOT NULL)")
            for number in range(count):
                name = name_of(number, PREFIX)
                text = json.dumps({**json.loads(document), "refresh_token": f"{name}.0"})
                database.execute("INSERT OR IGNORE INTO row VALUES (?, ?)", (name, self._sealed(text)))
                database.execute("INSERT OR IGNORE INTO row VALUES (?, ?)", (f"record/{name}", b"x" * (120 * claims)))

    def chunks(self, count: int) -> list[range]:
        """See `Floor`."""
        return cut(count, STATE_BATCH)

    def look(self, numbers: range) -> None:
        """See `Floor`."""
        names = [name_of(number, PREFIX) for number in numbers]
        keys = [*names, *(f"record/{name}" for name in names)]
        marks = ", ".join("?" * len(keys))
        rows = self._database().execute(f"SELECT key, body FROM row WHERE key IN ({marks})", keys).fetchall()
        for name, sealed in rows:
            if not name.startswith("record/"):
                json.loads(self._aes.decrypt(sealed[:12], sealed[12:], b""))

    def rotate(self, number: int) -> None:
        """See `Floor`."""
        name = name_of(number, PREFIX)
        sealed = self._read(name)
        stored = json.loads(self._aes.decrypt(sealed[:12], sealed[12:], b""))
        record = self._read(f"record/{name}")
        self._read("provider")
        waiting = self._folder / name
        self._flushed(waiting, bytes(RESERVED_BYTES))
        self._flush_folder()
        self._write(f"record/{name}", record)
        self._journal.record()
        document = exchanged(self._fleet, stored["refresh_token"])
        self._flushed(waiting, b"x" * SEALED_BYTES)
        self._flush_folder()
        self._write(name, self._sealed(json.dumps(document)))
        self._write(f"record/{name}", record)
        waiting.unlink()
        self._flush_folder()
        self._journal.record()

    def _sealed(self, text: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aes.encrypt(nonce, text.encode(), b"")

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        database.execute("PRAGMA synchronous = FULL")
        return database

    def _database(self) -> sqlite3.Connection:
        if not hasattr(self._of_thread, "database"):
            self._of_thread.database = self._opened()
        database: sqlite3.Connection = self._of_thread.database
        return database

    def _read(self, key: str) -> bytes:
        row = self._database().execute("SELECT body FROM row WHERE key = ?", (key,)).fetchone()
        return row[0] if row else b""

    def _write(self, key: str, body: bytes) -> None:
        database = self._database()
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT OR REPLACE INTO row VALUES (?, ?)", (key, body))
        database.execute("COMMIT")

    @staticmethod
    def _flushed(path: Path, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(descriptor, content)
        os.fsync(descriptor)
        os.close(descriptor)

    def _flush_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(descriptor)
        os.close(descriptor)
