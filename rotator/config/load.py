"""Reading the configuration file: everything wrong with it is collected and told at once."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rotator.config.faults import findings_of, path_of
from rotator.config.findings import Finding, Origin, Path
from rotator.config.model import Settings
from rotator.config.resolve import examine
from rotator.config.yaml_text import YamlText
from rotator.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rotator.model import Mode

_NAMED_ENTRIES = ("stores", "providers", "credentials", "notifiers")

WHERE_FROM = "name a file with `rotator -c PATH` or $ROTATOR_CONFIG, or begin with a copy of config/local.yaml"


def load_config(
    path_or_text: str | FilePath,
    env: Mapping[str, str],
    *,
    mode: Mode | None = None,
    source: str = "ROTATOR_CONFIG_YAML",
) -> Settings:
    """Read and check the configuration.

    Args:
        path_or_text: A file; or the YAML itself, told by a line break in it or a brace at its beginning.
        env: Where `${VAR}` and the variables of secret sources are looked up.
        mode: How rotator runs, for rules that hold on Lambda only; None applies none of them.
        source: What messages call a text that came from no file.

    Returns:
        Settings in which nothing is wrong; their `warnings` are worth showing.

    Raises:
        ConfigError: All that is wrong, in the order of the file.
    """
    text, source = _text(path_or_text, source)
    yaml = YamlText(text, env)
    if not isinstance(yaml.content, dict):
        raise ConfigError(Origin(source, yaml.lines).problems([*yaml.findings, _no_mapping(yaml.content)])[:1])
    settings, faults = _validated(yaml.content, Origin(source, yaml.lines, _names(yaml.content)))
    found = examine(settings, env=env, mode=mode)
    problems = settings.origin.problems([*yaml.findings, *faults, *found.faults])
    if problems:
        raise ConfigError(problems)
    return settings.with_origin(settings.origin, settings.origin.problems(found.doubts))


def _text(path_or_text: str | FilePath, source: str) -> tuple[str, str]:
    """Return the YAML and the name of where it came from."""
    if isinstance(path_or_text, str) and ("\n" in path_or_text or path_or_text.lstrip().startswith("{")):
        return path_or_text, source
    path = FilePath(path_or_text)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except FileNotFoundError:
        problem = Problem(str(path), "there is no such file", WHERE_FROM)
    except OSError as error:
        problem = Problem(str(path), f"cannot be read: {error.strerror}", "check the path and its permissions")
    except UnicodeDecodeError:  # its text quotes what it could not decode
        problem = Problem(str(path), "is not UTF-8 text", "save it as UTF-8")
    raise ConfigError([problem])


def _no_mapping(content: object) -> Finding:
    what = "is empty" if content is None else "is not a mapping"
    return Finding((), what, "begin with `version: 1`; config/local.yaml is a whole example")


def _names(content: Mapping[str, Any]) -> dict[int, str]:
    """Return each credential's name by its index, for messages."""
    entries = content.get("credentials")
    named = enumerate(entries) if isinstance(entries, list) else ()
    return {
        index: entry["name"]
        for index, entry in named
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry["name"].isprintable()
    }


def _validated(content: dict[str, Any], origin: Origin) -> tuple[Settings, list[Finding]]:
    """Return the settings and what is wrong with single keys.

    Entries with a fault are left out of the settings, so that the rest can still be checked: one typing error should
    not hide that two credentials share a secret. The origin remembers what was left out.
    """
    try:
        return Settings.model_validate(content).with_origin(origin, []), []
    except ValidationError as error:
        faults = findings_of(error, Settings)
        broken = {_entry(path_of(details["loc"])) for details in error.errors(include_url=False)}
    sound = _without(content, broken)
    return Settings.model_validate(sound).with_origin(_left_out(origin, content, broken), []), faults


def _entry(path: Path) -> Path:
    """Return the path of the entry, or else of the section, that a faulty key belongs to."""
    return path[:2] if path[0] in _NAMED_ENTRIES else path[:1]


def _without(content: dict[str, Any], broken: set[Path]) -> dict[str, Any]:
    sound: dict[str, Any] = {"version": 1, "stores": {}, "providers": {}, "credentials": []}
    for section, value in content.items():
        if (section,) in broken:
            continue
        if section in _NAMED_ENTRIES and isinstance(value, dict):
            sound[section] = {name: entry for name, entry in value.items() if (section, name) not in broken}
        elif section in _NAMED_ENTRIES:
            sound[section] = [entry for index, entry in enumerate(value) if (section, index) not in broken]
        else:
            sound[section] = value
    return sound


def _left_out(origin: Origin, content: dict[str, Any], broken: set[Path]) -> Origin:
    entries = content.get("credentials")
    count = len(entries) if isinstance(entries, list) else 0
    kept = tuple(index for index in range(count) if ("credentials", index) not in broken)
    return Origin(origin.source, origin.lines, origin.names, kept, frozenset(broken))
