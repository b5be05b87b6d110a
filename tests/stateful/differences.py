"""Where an adapter may answer otherwise than the in-memory model, and why. Nowhere else may it.

The models follow these, so that even what differs is predicted exactly and not merely tolerated.
"""

from __future__ import annotations

from dataclasses import dataclass

Reason = str | None
"""Why the adapter differs; None where it must answer like the model."""


@dataclass(frozen=True, slots=True)
class SecretDifferences:
    """Of a secret store.

    Args:
        objects_only: Another program cannot put text that is no JSON object.
        never_empty: Another program cannot put an empty text.
        numbers_begin_anew: A secret that was removed for good and made again counts its versions from 1, so that a
            write which expects a version from before can meet a new one of that number.
        deletion_is_a_mark: A deleted secret keeps the number that a write has to expect, and such a write undoes the
            deletion; a creation conflicts.
        deleted_name_is_taken: A creation under the name of a secret that is marked deleted is refused.
        deleted_is_not_written: What a write to a secret that is marked deleted does cannot be seen here.
        ids_are_not_kept: A repetition is recognised by place and content, so that an equal document right after the
            expected version passes for it, whoever wrote it.
        one_write_one_version: The version's text follows from the write, so that a repetition after a roll-back brings
            the same text back.
        first_value_is_unfenced: A secret that never held a value takes its first one whatever the write expects.
        creators_are_not_judged: What serves the calls cannot be asked by several creators of one name at once.
    """

    objects_only: Reason = None
    never_empty: Reason = None
    numbers_begin_anew: Reason = None
    deletion_is_a_mark: Reason = None
    deleted_name_is_taken: Reason = None
    deleted_is_not_written: Reason = None
    ids_are_not_kept: Reason = None
    one_write_one_version: Reason = None
    first_value_is_unfenced: Reason = None
    creators_are_not_judged: Reason = None


NO_DIFFERENCE = SecretDifferences()

LOCAL_SECRETS = SecretDifferences(
    numbers_begin_anew="only a person with the sqlite3 program can remove a row, and the row held the count",
)

VAULT_SECRETS = SecretDifferences(
    objects_only="KV version 2 holds JSON objects only",
    never_empty="KV version 2 holds JSON objects only",
    numbers_begin_anew="deleting an entry's metadata deletes Vault's own count with it",
    deletion_is_a_mark="check-and-set compares numbers, and a soft deletion does not change the number",
    ids_are_not_kept="KV version 2 has no place for the id of a write",
)

AWS_SECRETS = SecretDifferences(
    never_empty="Secrets Manager takes no empty value",
    deleted_name_is_taken="in its recovery window a secret keeps its name, and CreateSecret is refused",
    deleted_is_not_written="moto takes a PutSecretValue on a secret marked deleted; AWS refuses it",
    one_write_one_version="the version id is derived from the write: that is what makes its repetition harmless",
    first_value_is_unfenced="AWS makes a first version current by itself; there is nothing that it could replace",
    creators_are_not_judged="moto now and then answers HTTP 500 to one of them, which leaves doubt and is said so",
)


@dataclass(frozen=True, slots=True)
class StateDifferences:
    """Of a state store.

    Args:
        deletion_is_a_mark: A record that a person deleted reads as none at its revision, which the next write has to
            expect, and is still listed.
    """

    deletion_is_a_mark: Reason = None


LOCAL_STATE = DYNAMODB_STATE = StateDifferences()
VAULT_STATE = StateDifferences(
    deletion_is_a_mark="a soft deletion leaves Vault's number; so claims that a person deleted cannot be overwritten"
    " by a writer who never saw them",
)


@dataclass(frozen=True, slots=True)
class EscrowDifferences:
    """Of an escrow.

    Args:
        settled_by_the_record: The entries go with the settling write and not with the clearing after it.
        cannot_be_damaged: No entry can be undecodable by itself.
    """

    settled_by_the_record: Reason = None
    cannot_be_damaged: Reason = None


FILE_ESCROW = EscrowDifferences()
RECORD_ESCROW = EscrowDifferences(
    settled_by_the_record="the entries stand in the record: one write settles and drops them",
    cannot_be_damaged="a damaged record is StoreCorrupt before anybody asks for its escrow",
)
