"""Where the checklist's items are tested that belong to other parts of the product, or why they do not apply.

The checklist has 58 items: R1 to R20 (the request), S1 to S23 (success), E1 to E15 (errors and pacing). An item that
is tested here has a test named after it, `test_R04_…`; every other one stands below.
"""

from __future__ import annotations

ITEMS = tuple(
    f"{part}{number:02}" for part, count in (("R", 20), ("S", 23), ("E", 15)) for number in range(1, count + 1)
)

ELSEWHERE = {
    "R10": "does not apply: client authentication by mTLS is not offered, so that there is no alias to prefer",
    "R17": "tests/rotation: the claim is durable before the request goes out, in the crash matrix",
    "R18": "tests/rotation: one refresh among replicas, claims and leases; the read after the lease is taken",
    "R19": "does not apply: endpoints come from the configuration, nothing is discovered",
    "R20": "does not apply: the token endpoint is pinned by the configuration",
    "S04": "tests/rotation: one compare-and-swap writes both tokens, after the escrow has them",
    "S09": "tests/rotation: a token that is due again at once is held back",
    "S10": "tests/rotation: expires_at counts from the time of sending",
    "E03": "tests/rotation: after a rejection the document is read again, and a newer refresh token wins",
    "E08": "tests/rotation: the hold after a failure has a floor of a minute that --force keeps",
    "E09": "tests/rotation: a failed refresh leaves the document as it was",
    "E13": "comes with the command `rotator revoke`",
    "E14": "comes with the command `rotator login`",
    "E15": "tests/config: two credentials on one secret are refused",
}
