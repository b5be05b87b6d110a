"""The shape of a profile: what it is, which variables it asks for, and the fields it states.

    summary: One line for `rotator providers`.
    sources: [where each fact stands]
    variables:
      domain: {is: host, about: the tenant's domain, example: example.eu.auth0.com}
      environment: {is: choice, of: {production: auth.example.com, uat: auth.uat.example.com}, about: …}
    token_endpoint: https://{domain}/oauth/token
    # … and any other key of a provider's entry

The fields are kept as they were written: a provider's entry is laid over them, and the configuration's own model of an
entry validates the whole (`rotator.config.providers`), so that profile and entry cannot come to differ in what they
accept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rotator.errors import PluginError, Problem

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*", re.IGNORECASE | re.ASCII)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

_TEMPLATES = (
    "token_endpoint",
    "audience",
    "issuer",
    "authorization_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
)
"""The fields in which `{variable}` is replaced; braces anywhere else, in a pattern say, are plain text."""


class Variable(BaseModel):
    """Something that a provider's entry must say so that the profile's templates can be filled in.

    Args:
        kind: `host` takes a host name as it is; `choice` takes one of the names in `of`.
        about: What it is, for the hint when it is missing.
        example: A value that fits.
        of: For a choice: each name and the text that it stands for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[Literal["host", "choice"], Field(alias="is")]
    about: str
    example: str = ""
    of: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _choices_belong_to_a_choice(self) -> Variable:
        if (self.kind == "choice") != bool(self.of):
            raise ValueError("`of` belongs to `is: choice`, and a choice needs it")
        return self

    @property
    def hint(self) -> str:
        """How to write it."""
        if self.kind == "choice":
            return f"{self.about}: one of {', '.join(self.of)}"
        return f"{self.about}, such as {self.example}" if self.example else self.about

    def text_for(self, value: object) -> str | None:
        """Return the text that replaces the placeholder, or None when `value` does not fit.

        A host name is letters, digits, hyphens and dots (RFC 1123 section 2.1): no scheme, port, path or user.
        """
        if not isinstance(value, str):
            return None
        if self.kind == "choice":
            return self.of.get(value)
        return value.lower() if _HOST.fullmatch(value) else None


class Profile(BaseModel):
    """A provider profile.

    Args:
        name: The name that a provider's entry gives as `profile`.
        summary: One line.
        sources: Where its facts stand.
        variables: What the templates need.
        fields: Keys of a provider's entry; `token_endpoint` and `audience` may hold `{variable}` placeholders.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str = ""
    sources: tuple[str, ...] = ()
    variables: dict[str, Variable] = Field(default_factory=dict)
    fields: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _placeholders_are_declared(self) -> Profile:
        for key in _TEMPLATES:
            for variable in _placeholders(self.fields.get(key)):
                if variable not in self.variables:
                    raise ValueError(f"{key} uses {{{variable}}}, which is not among its variables")
        return self

    def filled_in(self, texts: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Fill the placeholders in.

        Args:
            texts: Variable to text, as `Variable.text_for` returned it; those that are not known are left out.

        Returns:
            The fields that could be filled in; and each field that could not, with the variable that it lacks.
        """
        filled: dict[str, Any] = {}
        lacking: dict[str, str] = {}
        for key, value in self.fields.items():
            used = _placeholders(value) if key in _TEMPLATES else []
            missing = [variable for variable in used if variable not in texts]
            if missing:
                lacking[key] = missing[0]
            elif used:
                filled[key] = _PLACEHOLDER.sub(lambda found: texts[found[1]], value)
            else:
                filled[key] = value
        return filled, lacking


def parse_profile(name: str, content: object) -> Profile:
    """Return the profile that `content`, the parsed YAML of a profile file, describes.

    Raises:
        PluginError: It is no mapping, or its own keys (not the provider's fields) are wrong.
    """
    if not isinstance(content, Mapping):
        raise PluginError([Problem(f"profile {name!r}", "is not a mapping", "mend the profile")])
    own = {key: content[key] for key in ("summary", "sources", "variables") if key in content}
    fields = {key: value for key, value in content.items() if key not in own}
    try:
        return Profile(name=name, fields=fields, **own)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        problems = [
            Problem(f"profile {name!r}", f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip())
            for fault in faults
        ]
        raise PluginError(problems) from None  # its text quotes the values


def _placeholders(value: object) -> list[str]:
    return _PLACEHOLDER.findall(value) if isinstance(value, str) else []
