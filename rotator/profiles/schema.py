"""The shape of a profile: what it is, which variables it asks for, and the fields it states.

    summary: One line for `rotator providers`.
    rotates: always
    refresh_token_life: a setting of the tenant
    notes: [what a person should know who keeps a grant there]
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

from rotator.addresses import is_loopback
from rotator.errors import PluginError, Problem

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_TEXT = rf"(?=[^/:]{{1,253}}([/:]|\Z)){_LABEL}(\.{_LABEL})*"
_WORD_TEXT = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}"
_KINDS = {
    "host": (re.compile(_HOST_TEXT, re.IGNORECASE | re.ASCII), "is not a host name"),
    "label": (re.compile(_LABEL, re.IGNORECASE | re.ASCII), "is not one label of a host name"),
    "word": (re.compile(_WORD_TEXT), "is not a plain name: letters, digits and . _ ~ - only"),
    "path": (re.compile(rf"{_WORD_TEXT}(/{_WORD_TEXT})*"), "is not a plain path: names joined by / only"),
    "url": (
        re.compile(
            rf"(https?)://({_HOST_TEXT})(?P<port>:[1-9][0-9]{{0,4}})?(?P<path>(/{_WORD_TEXT})*)/?",
            re.IGNORECASE | re.ASCII,
        ),
        "is not a base URL: https://host, with a port and a plain path at most",
    ),
}
"""What each kind of variable accepts, and what is said of what it does not.

A value that is filled into an address can bring no part of an address with it that its kind does not name: no user,
query or fragment ever, and no path but for `path` and `url`, in which no segment begins with a dot or is encoded.
"""

_BEHIND_THE_HOST = frozenset({"word", "path"})

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

TEMPLATES = (
    "token_endpoint",
    "audience",
    "issuer",
    "authorization_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
)
"""The fields in which `{variable}` is replaced; braces anywhere else, in a pattern say, are plain text."""

Rotates = Literal["always", "never", "by setting", "sometimes", "unknown"]
"""Whether a refresh brings another refresh token that has to be kept in place of the one presented."""


class Variable(BaseModel):
    """Something that a provider's entry must say so that the profile's templates can be filled in.

    Args:
        kind: `host` takes a host name as it is, `label` one label of it; `word` takes a plain name and `path` several
            joined by `/`, both behind the host; `url` takes a base URL, at the beginning; `choice` one of `of`.
        about: What it is, for the hint when it is missing.
        example: A value that fits.
        default: What it is where the entry does not say; else the entry must.
        of: For a choice: each name and the text that it stands for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Annotated[Literal["host", "label", "word", "path", "url", "choice"], Field(alias="is")]
    about: str
    example: str = ""
    default: str | None = None
    of: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_itself(self) -> Variable:
        if (self.kind == "choice") != bool(self.of):
            raise ValueError("`of` belongs to `is: choice`, and a choice needs it")
        if self.default is not None and self.text_for(self.default) is None:
            raise ValueError("`default` is no value that fits")
        if self.example and self.text_for(self.example) is None:
            raise ValueError("`example` is no value that fits")
        return self

    @property
    def hint(self) -> str:
        """How to write it."""
        if self.kind == "choice":
            return f"{self.about}: one of {', '.join(self.of)}"
        return f"{self.about}, such as {self.example}" if self.example else self.about

    @property
    def fault(self) -> str:
        """What is said of a value that does not fit."""
        return f"must be one of {', '.join(self.of)}" if self.kind == "choice" else _KINDS[self.kind][1]

    def text_for(self, value: object) -> str | None:
        """Return the text that replaces the placeholder, or None when `value` does not fit.

        A host name is letters, digits, hyphens and dots (RFC 1123 section 2.1): no scheme, port, path or user.
        """
        if not isinstance(value, str):
            return None
        if self.kind == "choice":
            return self.of.get(value)
        match = _KINDS[self.kind][0].fullmatch(value)
        if match is None:
            return None
        if self.kind in _BEHIND_THE_HOST:
            return value
        return _base_url(match) if self.kind == "url" else value.lower()


def _base_url(match: re.Match[str]) -> str | None:
    """Return a base URL without a slash at its end; None where http leads off this machine."""
    scheme, host, port = match[1].lower(), match[2].lower(), match["port"] or ""
    if scheme == "http" and not is_loopback(host):
        return None
    return f"{scheme}://{host}{port}{match['path']}"


class Profile(BaseModel):
    """A provider profile.

    Args:
        name: The name that a provider's entry gives as `profile`.
        summary: One line.
        rotates: Whether refresh tokens are replaced; `by setting` of the tenant or client, `sometimes` at its liking.
        refresh_token_life: In words, what `refresh_token_idle` and `refresh_token_absolute` cannot say.
        notes: What a person should know who keeps a grant there.
        sources: Where its facts stand.
        variables: What the templates need.
        fields: Keys of a provider's entry; those of `TEMPLATES` may hold `{variable}` placeholders.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str = ""
    rotates: Rotates = "unknown"
    refresh_token_life: str = ""
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    variables: dict[str, Variable] = Field(default_factory=dict)
    fields: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _placeholders_are_declared(self) -> Profile:
        for key in TEMPLATES:
            if found := template_fault(self.fields.get(key), self.variables):
                raise ValueError(f"{key} {found}")
        return self

    @property
    def defaults(self) -> dict[str, str]:
        """The texts of the variables that an entry need not give."""
        texts = {name: variable.text_for(variable.default) for name, variable in self.variables.items()}
        return {name: text for name, text in texts.items() if text is not None}

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
            used = _placeholders(value) if key in TEMPLATES else []
            missing = [variable for variable in used if variable not in texts]
            if missing:
                lacking[key] = missing[0]
            elif used:
                filled[key] = _PLACEHOLDER.sub(lambda found: texts[found[1]], value)
            else:
                filled[key] = value
        return filled, lacking


OWN_KEYS = tuple(sorted(Profile.model_fields.keys() - {"name", "fields"}))
"""The keys of a profile that are no fields of a provider."""


def parse_profile(name: str, content: object) -> Profile:
    """Return the profile that `content`, the parsed YAML of a profile file, describes.

    Raises:
        PluginError: It is no mapping, or its own keys (not the provider's fields) are wrong.
    """
    if not isinstance(content, Mapping):
        raise PluginError([Problem(f"profile {name!r}", "is not a mapping", "mend the profile")])
    own = {key: content[key] for key in OWN_KEYS if key in content}
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


def template_fault(value: object, variables: Mapping[str, Variable]) -> str | None:
    """Return what is wrong with the placeholders of a template, or None."""
    if not isinstance(value, str):
        return None
    for found in _PLACEHOLDER.finditer(value):
        variable = variables.get(found[1])
        if variable is None:
            return f"uses {{{found[1]}}}, which is not among its variables"
        before = value[: found.start()]
        if variable.kind == "url" and before:
            return f"uses {{{found[1]}}}, a url, elsewhere than at its beginning"
        if variable.kind in _BEHIND_THE_HOST and "/" not in before.partition("://")[2] and not _begins_with_url(before):
            return f"uses {{{found[1]}}}, a {variable.kind}, before its path: only a host or a label may stand there"
    return None


def _begins_with_url(before: str) -> bool:
    return re.match(r"\{[^{}]*\}/", before) is not None


def _placeholders(value: object) -> list[str]:
    return _PLACEHOLDER.findall(value) if isinstance(value, str) else []
