"""`python -m rotator.schemas [configuration|profile]` prints a schema; `--write` renews the shipped files."""

from __future__ import annotations

import sys

from rotator.schemas import FILES, texts


def main(arguments: list[str]) -> int:
    """Print the schema that is named, the configuration's by default, or write all of them."""
    if arguments == ["--write"]:
        for name, text in texts().items():
            FILES[name].write_text(text, encoding="utf-8")
        return 0
    name = arguments[0] if arguments else "configuration"
    if name not in FILES or len(arguments) > 1:
        sys.stderr.write(f"usage: python -m rotator.schemas [{'|'.join(FILES)}|--write]\n")
        return 2
    sys.stdout.write(texts()[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
