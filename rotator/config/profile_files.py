"""A user's own profile, read from a file with the strictness of the configuration, and shipped ones by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from rotator.config.faults import findings_of
from rotator.config.findings import Finding, Origin
from rotator.config.yaml_text import YamlText
from rotator.errors import PluginError, Problem
from rotator.profiles import load_profile
from rotator.profiles.schema import parse_profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.profiles import Profile


@dataclass(frozen=True, slots=True)
class Found:
    """A profile, and where its keys stand if it came from a file."""

    profile: Profile
    origin: Origin | None = None


def is_file(name: str) -> bool:
    """Return whether a `profile` names a file: it has a slash in it, or ends in .yaml or .yml."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def find_profile(name: str, env: Mapping[str, str]) -> Found:
    """Return the profile that an entry's `profile` names. A file is read anew each time.

    Args:
        name: A shipped profile's or a plug-in's name; or a file, whose relative path counts from the working directory.
        env: Where `${VAR}` in a file is looked up.

    Raises:
        PluginError: Everything wrong with it; of a file each problem names file, line and key.
    """
    if not is_file(name):
        return Found(load_profile(name))
    yaml = YamlText(_text(name), env)
    origin = Origin(name, yaml.lines)
    if not isinstance(yaml.content, dict):
        what = "is empty" if yaml.content is None else "is not a mapping"
        hint = "begin with token_endpoint; docs/providers.md has a whole example"
        raise PluginError(origin.problems([*yaml.findings, Finding((), what, hint)])[:1])
    if problems := origin.problems([*yaml.findings, *_faults(yaml.content)]):
        raise PluginError(problems)
    return Found(parse_profile(name, yaml.content), origin)


def _faults(content: object) -> list[Finding]:
    from rotator.config.profile_settings import ProfileFile  # noqa: PLC0415 - on use: most profiles are shipped ones

    try:
        ProfileFile.model_validate(content)
    except ValidationError as error:
        return findings_of(error, ProfileFile)
    return []


def _text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        problem = Problem(name, "there is no such file", "a relative path counts from the working directory")
    except OSError as error:
        problem = Problem(name, f"cannot be read: {error.strerror}", "check the path and its permissions")
    except UnicodeDecodeError:  # its text quotes what it could not decode
        problem = Problem(name, "is not UTF-8 text", "save it as UTF-8")
    raise PluginError([problem])
