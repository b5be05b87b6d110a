"""The Vault double keeps the rules that the adapters rely on, seen over HTTP and without them."""

from __future__ import annotations

import base64
import json
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests
from vault_harness import DoubledVault, Vault, doubled, vault

from rotator.errors import StoreRejected
from rotator.testing.contracts import race
from rotator.testing.memory import VirtualClock
from rotator.testing.vault_double_auth import Role
from rotator.testing.vault_double_kv import Call, KvTwo

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["doubled", "vault"]


def ask(
    vault: DoubledVault, method: str, path: str, body: Any = None, token: str | None = None
) -> tuple[int, dict[str, Any]]:
    headers = {"X-Vault-Token": token} if token else {}
    with requests.Session() as session:
        answer = session.request(method, f"{vault.address}/v1/{path}", json=body, headers=headers, timeout=30)
    return answer.status_code, answer.json() if answer.content else {}


def write(vault: Vault, path: str, n: int, cas: int | None = None) -> int:
    """Write as another program would; a refusal by the server is raised as StoreRejected."""
    body = {"data": {"n": n}, "options": {} if cas is None else {"cas": cas}}
    try:
        return int(vault.raw("POST", f"secret/data/{path}", body)["data"]["version"])
    except requests.HTTPError:
        raise StoreRejected("refused") from None


def test_check_and_set_lets_one_writer_win(vault: Vault) -> None:
    """Of threads that write on the same version, for 0 as for others, one gets through."""
    for version in range(3):
        winners, losers = race(lambda n, v=version: write(vault, f"{vault.folder}/app", n, cas=v), loses=StoreRejected)
        assert winners == [version + 1]
        assert losers == 7


class LingeringClock(VirtualClock):
    """A clock whose reading, between the double's check and its write, gives other threads time to come in."""

    def now(self) -> datetime:
        Event().wait(0.01)
        return super().now()


def test_the_lock_is_held_across_check_and_write() -> None:
    """However long a write lingers after its check, no other one on the same version gets through."""
    engine = KvTwo(LingeringClock())
    for version in range(3):
        call = Call("write", "data/app", {}, {"data": {}, "options": {"cas": version}})
        replies, _ = race(lambda _, call=call: engine.answer(call).status)
        assert sorted(replies) == [200, *[400] * 7]


def test_a_write_without_check_and_set_always_succeeds_unless_it_is_required(vault: Vault) -> None:
    """Without the option a write replaces; with `cas_required` it is refused in Vault's words."""
    path = f"{vault.folder}/app"
    assert [write(vault, path, n) for n in range(3)] == [1, 2, 3]
    vault.raw("POST", f"secret/metadata/{path}", {"cas_required": True})
    with pytest.raises(StoreRejected):
        write(vault, path, 4)
    assert write(vault, path, 4, cas=3) == 4


def test_only_the_newest_versions_are_kept(vault: Vault) -> None:
    """Ten versions are kept unless the entry says otherwise; a pruned one is simply not there."""
    path = f"{vault.folder}/app"
    for n in range(12):
        write(vault, path, n)
    metadata = vault.raw("GET", f"secret/metadata/{path}")["data"]
    assert sorted(map(int, metadata["versions"])) == list(range(3, 13))
    assert (metadata["oldest_version"], metadata["current_version"]) == (3, 12)
    assert vault.raw("GET", f"secret/data/{path}?version=2") is None
    assert vault.raw("GET", f"secret/data/{path}?version=3")["data"]["data"] == {"n": 2}


def test_folders_and_names_are_listed(vault: Vault) -> None:
    """A list shows what is directly inside a folder, folders with a slash; an empty one is not there."""
    for path in ("a", "b/c", "b/d/e"):
        write(vault, f"{vault.folder}/{path}", 1)
    assert vault.raw("LIST", f"secret/metadata/{vault.folder}")["data"]["keys"] == ["a", "b/"]
    assert vault.raw("GET", f"secret/metadata/{vault.folder}/b?list=true")["data"]["keys"] == ["c", "d/"]
    assert vault.raw("LIST", f"secret/metadata/{vault.folder}/none") is None


def test_deleting_the_metadata_begins_anew(vault: Vault) -> None:
    """After a deletion of everything the versions count from 1 again."""
    path = f"{vault.folder}/app"
    write(vault, path, 1)
    write(vault, path, 2)
    vault.raw("DELETE", f"secret/metadata/{path}")
    assert vault.raw("GET", f"secret/metadata/{path}") is None
    assert write(vault, path, 3, cas=0) == 1


def test_a_destroyed_version_does_not_come_back(vault: Vault) -> None:
    """Undeleting brings a deleted version back, and a destroyed one, or one that never was, does nothing."""
    path = f"{vault.folder}/app"
    write(vault, path, 1)
    vault.raw("POST", f"secret/delete/{path}", {"versions": [1, 7]})
    assert vault.raw("GET", f"secret/data/{path}") is None
    vault.raw("POST", f"secret/undelete/{path}", {"versions": [1]})
    assert vault.raw("GET", f"secret/data/{path}")["data"]["data"] == {"n": 1}
    vault.raw("PUT", f"secret/destroy/{path}", {"versions": [1]})
    vault.raw("POST", f"secret/undelete/{path}", {"versions": [1]})
    assert vault.raw("GET", f"secret/data/{path}") is None


def test_what_is_no_request_of_the_engine_is_refused(doubled: DoubledVault) -> None:
    """A write without data is 400, an unknown path 404, an unknown mount 404 in Vault's words."""
    root = doubled.double.root
    assert ask(doubled, "POST", "secret/data/app", {"options": {}}, root) == (400, {"errors": ["no data provided"]})
    assert ask(doubled, "GET", "secret/subkeys/app", token=root)[0] == 404
    status, body = ask(doubled, "GET", "none/data/app", token=root)
    assert (status, "no handler for route" in body["errors"][0]) == (404, True)


def test_the_settings_of_a_mount_are_read_back(doubled: DoubledVault) -> None:
    """What was configured is shown, and the mount's number of versions applies."""
    doubled.double.act("POST", "secret/config", {"max_versions": 2, "delete_version_after": "0s"})
    shown = doubled.double.act("GET", "secret/config").body
    assert shown == {"data": {"max_versions": 2, "cas_required": False, "delete_version_after": "0s"}}


def test_a_seal_stops_everything(doubled: DoubledVault) -> None:
    """A sealed Vault answers 503 to all, health included; unsealed it is healthy without a token."""
    assert ask(doubled, "GET", "sys/health")[0] == 200
    doubled.double.sealed = True
    assert ask(doubled, "GET", "sys/health")[0] == 503
    assert ask(doubled, "GET", "secret/data/app", token=doubled.double.root)[0] == 503


def test_tokens_are_asked_for(doubled: DoubledVault) -> None:
    """Without a token it is 400, with an unknown or ended one 403."""
    token = doubled.double.accounts.issue(ttl_s=10).text
    assert ask(doubled, "GET", "secret/data/app")[0] == 400
    assert ask(doubled, "GET", "secret/data/app", token="hvs.wrong")[0] == 403
    assert ask(doubled, "GET", "secret/data/app", token=token)[0] == 404
    doubled.clock.advance(10)
    assert ask(doubled, "GET", "secret/data/app", token=token)[0] == 403
    assert doubled.double.seen[1].accessor == "unknown"


def test_a_renewal_is_capped_and_not_for_every_token(doubled: DoubledVault) -> None:
    """Renewal starts the lease anew up to the maximum; a token that is not renewable is refused."""
    token = doubled.double.accounts.issue(ttl_s=100, max_ttl_s=150).text
    doubled.clock.advance(80)
    _, body = ask(doubled, "POST", "auth/token/renew-self", {}, token)
    assert body["auth"]["lease_duration"] == 70
    assert ask(doubled, "POST", "auth/token/renew-self", {}, doubled.double.root)[0] == 400


def test_a_kubernetes_refusal_is_403(doubled: DoubledVault) -> None:
    """A service account that does not fit is refused with 403, other methods with 400."""
    for method in ("kubernetes", "jwt"):
        doubled.double.accounts.roles[method] = [Role(method, {"role": "r", "jwt": "j"})]
    wrong = {"role": "r", "jwt": "x"}
    assert ask(doubled, "POST", "auth/kubernetes/login", wrong)[0] == 403
    assert ask(doubled, "POST", "auth/jwt/login", wrong)[0] == 400


@pytest.mark.parametrize("change", ["headers", "body", "url", "method", "algorithm", "missing"])
def test_an_aws_login_must_carry_a_signed_request(doubled: DoubledVault, change: str) -> None:
    """A request to AWS that is not POST GetCallerIdentity to STS with a version 4 signature is no login."""
    doubled.double.accounts.roles["aws"] = [Role("aws", {"role": "r", "access_key": "AKID"})]
    algorithm = "HMAC" if change == "algorithm" else "AWS4-HMAC-SHA256"
    headers = {"Authorization": [f"{algorithm} Credential=AKID/20260101/us-east-1/sts/aws4_request"]}
    url = "https://evil.example/" if change == "url" else "https://sts.amazonaws.com/"
    asked = "Action=Other" if change == "body" else "Action=GetCallerIdentity&Version=2011-06-15"
    body = {
        "role": "r",
        "iam_http_request_method": "GET" if change == "method" else "POST",
        "iam_request_url": encoded(url),
        "iam_request_body": encoded(asked),
        "iam_request_headers": "e" if change == "headers" else encoded(json.dumps(headers)),
    }
    if change == "missing":
        del body["iam_request_url"]
    assert ask(doubled, "POST", "auth/aws/login", body)[0] == 400


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_version_1_keeps_what_it_is_given(doubled: DoubledVault) -> None:
    """A version 1 mount takes a versioned write for plain data, which is why the adapters ask first."""
    doubled.double.mount("old", version=1)
    body = {"data": {"n": 1}, "options": {"cas": 5}}
    assert ask(doubled, "POST", "old/data/app", body, doubled.double.root)[0] == 204
    assert ask(doubled, "GET", "old/data/app", token=doubled.double.root) == (200, {"data": body})


def test_the_longest_prefix_of_a_policy_decides(doubled: DoubledVault) -> None:
    """A narrower rule overrides a wider one, and what no rule names is denied."""
    rules = {"secret/data/": frozenset({"read"}), "secret/data/mine/": frozenset({"create"})}
    doubled.double.accounts.policies["p"] = rules
    token = doubled.double.accounts.issue("p")
    allowed = [doubled.double.accounts.capabilities(token, f"secret/{path}") for path in ("data/a", "data/mine/a", "x")]
    assert allowed == [["read"], ["create"], ["deny"]]
