"""What a profile file may say: what it is, its variables, and any field of a provider."""

from typing import Annotated

from pydantic import Field, model_validator

from rotator.config.provider_settings import ProviderFields
from rotator.config.values import Listed, Text, fault
from rotator.profiles.schema import OWN_KEYS, TEMPLATES, Rotates, Variable, template_fault

Template = Text
"""An address or an audience in which `{variable}` is replaced; what comes of it is checked like an entry's own."""


class ProfileFile(ProviderFields):
    """A provider profile of one's own.

    Args:
        summary: One line that says whose profile it is.
        rotates: Whether a refresh replaces the refresh token; `by setting` of the tenant or client, `sometimes` at the
            provider's liking.
        refresh_token_life: In words, what `refresh_token_idle` and `refresh_token_absolute` cannot say.
        notes: What a person should know who keeps a grant there.
        sources: Where its facts stand.
        variables: What an entry of the configuration gives so that `{name}` in the addresses can be replaced.
    """

    summary: str = ""
    rotates: Rotates = "unknown"
    refresh_token_life: str = ""
    notes: Annotated[tuple[Text, ...], Listed] = ()
    sources: Annotated[tuple[Text, ...], Listed] = ()
    variables: dict[Text, Variable] = Field(default_factory=dict)
    token_endpoint: Template | None = None
    audience: Template | None = None
    issuer: Template | None = None
    authorization_endpoint: Template | None = None
    device_authorization_endpoint: Template | None = None
    revocation_endpoint: Template | None = None

    @model_validator(mode="after")
    def _variables_have_names_of_their_own(self) -> "ProfileFile":
        for name in self.variables:
            if name in {"profile", *OWN_KEYS} or name in ProviderFields.model_fields:
                raise fault("is the name of a key that a provider's entry has anyway", "give it another name",
                            at=("variables", name))  # fmt: skip
        return self

    @model_validator(mode="after")
    def _placeholders_are_declared(self) -> "ProfileFile":
        for key in TEMPLATES:
            if found := template_fault(getattr(self, key), self.variables):
                raise fault(found, "declare it under `variables`, or correct the braces", at=(key,))
        return self
