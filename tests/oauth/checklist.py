"""Where the checklist's items are tested that belong to other parts of the product, or why they do not apply.

The checklist has 58 items: R1 to R20 (the request), S1 to S23 (success), E1 to E15 (errors and pacing). An item that
is tested here has a test named after it, `test_R04_…`; every other one stands below.
"""

from __future__ import annotations

ITEMS = tuple(
    f"{part}{number:02}" for part, count in (("R", 20), ("S", 23), ("E", 15)) for number in range(1, count + 1)
)

NOT_APPLICABLE = {
    "R10": "client authentication by mTLS is not offered, so that there is no alias to prefer",
    "R19": "endpoints come from the configuration, nothing is discovered",
    "R20": "the token endpoint is pinned by the configuration",
    "E13": "revocation comes with the command `rotator revoke`",
    "E14": "bootstrap comes with the command `rotator login`",
}

ELSEWHERE = {
    "R17": "rotation/test_crash_matrix.py::test_a_crash_anywhere_spends_no_token_twice_and_loses_none_that_arrived",
    "R18": "rotation/test_crash_matrix.py::test_an_open_claim_is_never_sent_by_another_replica_while_the_lease_lasts",
    "S04": "rotation/test_crash_matrix.py::test_a_crash_during_recovery_is_recovered_from",
    "S09": "rotation/test_strange_tokens.py::test_a_token_that_is_due_at_once_is_not_refreshed_in_a_loop",
    "S10": "rotation/test_procedure.py::test_the_expiry_counts_from_the_sending",
    "E03": "rotation/test_procedure.py::test_a_rejection_after_a_person_put_a_new_token_is_no_dead_grant",
    "E08": "rotation/test_procedure.py::test_a_provider_that_did_not_process_is_asked_again_after_a_pause",
    "E09": "rotation/test_procedure.py::test_a_failed_refresh_changes_nothing_in_the_store",
    "E15": "app/test_shared_grants.py::test_two_documents_with_one_refresh_token_are_both_refused",
}
