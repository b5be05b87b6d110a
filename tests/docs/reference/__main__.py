"""`python -m tests.docs.reference`: write docs/reference."""

from __future__ import annotations

import sys

from tests.docs.pages import REFERENCE
from tests.docs.reference import pages


def main() -> int:
    """Write the pages, and remove those that are none any more."""
    written = pages()
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for page in REFERENCE.glob("*.md"):
        if page.name not in written:
            page.unlink()
    for name, text in written.items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"docs/reference: {', '.join(sorted(written))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
