"""Provider profiles as data: what a provider's token endpoint expects, and how it treats refresh tokens.

A built-in profile is a YAML file beside this module. A file of one's own is read by `rotator.config.profile_files`,
which tells its lines. A plug-in offers one as an entry point of the group
`rotator.profiles` that leads to a mapping with the same keys. `rotator.profiles.schema` describes them.
"""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

from rotator.plugins import load_plug_in
from rotator.profiles.schema import Profile, parse_profile

__all__ = ["BUILT_IN", "FOLDER", "Profile", "load_profile"]

FOLDER = Path(__file__).parent
"""Where the shipped profiles lie."""

BUILT_IN = (
    "atlassian",
    "auth0",
    "dailypay",
    "docusign",
    "dropbox",
    "entra",
    "generic",
    "github",
    "google",
    "hubspot",
    "hydra",
    "keycloak",
    "okta",
    "quickbooks",
    "salesforce",
    "shopify",
    "slack",
    "xero",
    "zoom",
)


@functools.cache
def load_profile(name: str) -> Profile:
    """Return the profile called `name`, read once per process.

    Raises:
        PluginError: Nobody offers it (the hint names those that exist), or it cannot be loaded or used.
    """
    if name in BUILT_IN:
        return parse_profile(name, _read(name))
    return parse_profile(name, load_plug_in("profiles", name, BUILT_IN))


def _read(name: str) -> object:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
