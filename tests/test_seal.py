"""The seal opens only what it sealed, and its key comes from where it should."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from rotator.errors import (
    ConfigError,
    Problem,
    SealBroken,
)
from rotator.seal import AesSeal, key_from_env, key_from_file
from rotator.testing.contracts import race, shown

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
PLAIN = b"canary-refresh-token"


def sealing(key: bytes = KEY) -> AesSeal:
    return AesSeal(lambda: key)


# ------------------------------------------------------------------------------------------------------- the seal


@pytest.mark.parametrize("plain", [PLAIN, b"", b"\x00\xff" * 50_000])
def test_what_was_sealed_opens(plain: bytes) -> None:
    """Another instance with the same key and context gets back the same bytes."""
    assert sealing().open(sealing().seal(plain, "secret:a"), "secret:a") == plain


def test_a_sealed_text_of_this_version_opens_for_ever() -> None:
    """A text sealed by this version's first release opens: the format and the derivation of the key do not change."""
    sealed = "AUG4Vaie98SA969gfPWLTETY7D8MwxF++ZIAQlg4j1ljJso8t7hsrVV6VBPMcJq2ow=="
    assert sealing().open(sealed, "secret:a") == PLAIN


def test_the_sealed_text_is_base64_and_hides_the_content() -> None:
    """Sealing gives ASCII base64 without the plain bytes, and never the same text twice."""
    first, second = (sealing().seal(PLAIN, "c") for _ in range(2))
    assert first != second
    raw = base64.b64decode(first, validate=True)
    assert raw[0] == 1
    assert len(raw) == 1 + 12 + len(PLAIN) + 16
    assert PLAIN not in raw


@pytest.mark.parametrize(("key", "context"), [(OTHER_KEY, "secret:a"), (KEY, "secret:b"), (KEY, "")])
def test_another_key_or_context_does_not_open(key: bytes, context: str) -> None:
    """With another key or under another context a text is SealBroken, and the error shows nothing of it."""
    sealed = sealing().seal(PLAIN, "secret:a")
    with pytest.raises(SealBroken) as caught:
        sealing(key).open(sealed, context)
    assert sealed not in shown(caught.value)
    assert PLAIN.decode() not in shown(caught.value)


def test_a_changed_text_does_not_open() -> None:
    """Every single changed byte, every cut and anything that is no base64 is SealBroken."""
    sealed = sealing().seal(PLAIN, "c")
    raw = base64.b64decode(sealed)
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    cut = [raw[:length] for length in range(len(raw))]
    texts = [base64.b64encode(bytes_).decode() for bytes_ in changed + cut] + ["not base64!", sealed[:-1], sealed + "="]
    for text in texts:
        with pytest.raises(SealBroken):
            sealing().open(text, "c")


def test_the_audit_digest_is_keyed_and_short() -> None:
    """The digest is 16 hex digits that follow from key and text alone."""
    digest = sealing().audit_digest("token")
    assert digest == sealing().audit_digest("token") == "5d9f195de8642774"
    assert digest != sealing().audit_digest("token2")
    assert digest != sealing(OTHER_KEY).audit_digest("token")


def test_the_audit_digest_of_half_a_surrogate_pair_is_a_digest() -> None:
    """A text that UTF-8 cannot hold, which JSON can, has a digest and raises no error that would carry it."""
    assert len(sealing().audit_digest("token\ud83d")) == 16


def test_the_key_is_loaded_once_and_not_before_it_is_needed() -> None:
    """However many threads seal, the key is loaded at the first use and once."""
    loads: list[int] = []
    second = threading.Barrier(2)

    def load() -> bytes:
        loads.append(1)
        with contextlib.suppress(threading.BrokenBarrierError):
            second.wait(timeout=0.05)  # long enough for another thread to come here, if any can
        return KEY

    seal = AesSeal(load)
    assert loads == []
    race(lambda _: seal.open(seal.seal(PLAIN, "c"), "c"))
    assert len(loads) == 1


def test_a_failure_to_load_the_key_is_not_remembered() -> None:
    """When the key's source fails every verb raises its error; when it works again so does the seal."""
    broken = True

    def load() -> bytes:
        if broken:
            raise ConfigError([Problem("seal", "no key")])
        return KEY

    seal = AesSeal(load)
    for verb in (lambda: seal.seal(PLAIN, "c"), lambda: seal.open("", "c"), lambda: seal.audit_digest("t")):
        with pytest.raises(ConfigError, match="no key"):
            verb()
    broken = False
    assert seal.open(seal.seal(PLAIN, "c"), "c") == PLAIN


# ------------------------------------------------------------------------------------------- keys: env and file


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable's base64 is the key; white space around it does not matter."""
    monkeypatch.setenv("SEAL", f" {encoded(KEY)}\n")
    assert key_from_env("SEAL") == KEY


BAD_KEYS = {
    "no base64": "canary*key",
    "not ASCII": "canary-schlüssel",
    "too short": encoded(KEY[:16]),
    "too long": encoded(KEY * 2),
    "empty": "",
}


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_bad_key_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A variable without 32 bytes of base64 is a ConfigError that names it, says how to make one, and hides it."""
    monkeypatch.setenv("SEAL", text)
    with pytest.raises(ConfigError, match=r"variable SEAL .*\n.*openssl rand") as caught:
        key_from_env("SEAL")
    assert not text or text not in shown(caught.value)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable is a ConfigError that names it."""
    monkeypatch.delenv("SEAL", raising=False)
    with pytest.raises(ConfigError, match="variable SEAL is not set"):
        key_from_env("SEAL")


def test_a_missing_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """At first use the file is made with mode 0600 in a folder with mode 0700, and from then on gives the same key."""
    path = tmp_path / "var" / "key"
    umask = os.umask(0)
    try:
        key = key_from_file(path)
    finally:
        os.umask(umask)
    assert len(key) == 32
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path.parent, path)] == [0o700, 0o600]
    assert list(path.parent.iterdir()) == [path]
    assert key_from_file(path) == key_from_file(path, create=False) == key
    assert path.read_text() == encoded(key) + "\n"
    assert key_from_file(tmp_path / "other") != key


def test_a_missing_key_file_can_be_an_error(tmp_path: Path) -> None:
    """Without `create` a missing file is a ConfigError that names it, and nothing is made."""
    with pytest.raises(ConfigError, match="does not exist"):
        key_from_file(tmp_path / "key", create=False)
    assert list(tmp_path.iterdir()) == []


def test_all_who_make_the_key_file_at_once_get_one_key(tmp_path: Path) -> None:
    """Of many that find no file one makes the key, and all return it."""
    keys, _ = race(lambda _: key_from_file(tmp_path / "var" / "key"))
    assert len(set(keys)) == 1
    assert [file.name for file in (tmp_path / "var").iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """A file with any permission for group or world is a ConfigError with the command that mends it."""
    path = tmp_path / "key"
    key_from_file(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        key_from_file(path)


@pytest.mark.parametrize(("mode", "taken"), [(0o440, True), (0o400, True), (0o444, False), (0o460, False)])
def test_the_group_may_read_a_key_that_belongs_to_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, taken: bool
) -> None:
    """So Kubernetes and systemd hand a key to a process that is not root; nobody else may read it, nobody write."""
    path = tmp_path / "seal.key"
    path.write_text(base64.b64encode(bytes(32)).decode())
    path.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    if taken:
        assert key_from_file(path) == bytes(32)
    else:
        with pytest.raises(ConfigError, match="open to others"):
            key_from_file(path)


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_bad_key_in_a_file_is_named(tmp_path: Path, text: str) -> None:
    """A file without 32 bytes of base64 is a ConfigError that names it, hides the value, and is never replaced."""
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=str(path)) as caught:
        key_from_file(path)
    assert not text or text not in shown(caught.value)
    assert path.read_text(encoding="utf-8") == text


def test_a_place_where_no_key_file_can_be_is_named(tmp_path: Path) -> None:
    """A folder in the place of the file, or a file in the place of the folder, is a ConfigError with the path."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "key", tmp_path / "file" / "deeper" / "key"):
        with pytest.raises(ConfigError, match="cannot be read or created"):
            key_from_file(path)
