"""What the configuration may say about metrics of runs that end, and about traces."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from rotator.addresses import is_loopback
from rotator.config.endpoints import endpoint_fault
from rotator.config.secret_sources import SecretSource, Section
from rotator.config.values import Duration, ServiceUrl, Text, fault, one_type

LONGEST_PUSH_S = 60.0


class PushSettings(Section):
    """A Pushgateway. Metrics name credentials and hold no secret, so plain http is allowed where it is asked for.

    Args:
        url: Its address, without `/metrics`.
        job: The first label of the group that a push replaces.
        instance: The second one; None is the mode, with the shard if there is one.
        token: Sent as a bearer token; or
        username: Sent, with `password`, by HTTP Basic.
        password: See `username`.
        plaintext: Allows `http://` beyond this machine, which a gateway inside a cluster often has alone; never with a
            token or password.
        timeout: How long a push may take.
    """

    url: Text
    job: Text = "rotator"
    instance: Text | None = None
    token: SecretSource | None = None
    username: Text | None = None
    password: SecretSource | None = None
    plaintext: bool = False
    timeout: Annotated[Duration, Field(le=LONGEST_PUSH_S)] = 5.0

    @model_validator(mode="after")
    def _one_way_in(self) -> "PushSettings":
        if (self.username is None) != (self.password is None):
            raise fault("needs username and password together", "or neither, or a token")
        if self.token is not None and self.password is not None:
            raise fault("needs one of token and password", "leave one out")
        plain = self.url.startswith("http://") and not is_loopback(urlsplit(self.url).hostname or "")
        if plain and self.plaintext:
            if self.token or self.password:
                raise fault("would send its secret in the clear", "use https://, or leave the secret out", at=("url",))
            found = endpoint_fault("https" + self.url.removeprefix("http"))
        else:
            found = endpoint_fault(self.url)
        if found:
            what, hint = found
            if plain and not self.plaintext:
                what, hint = "http:// can be read on its way", "use https://, or say plaintext: true"
            raise fault(what, hint, at=("url",))
        return self


class MetricsSettings(Section):
    """Where `rotator once` leaves its metrics; on Lambda, `push` alone.

    Args:
        textfile: A file in the folder of node_exporter's textfile collector; its name ends with `.prom`.
        push: A Pushgateway.
    """

    textfile: Text | None = None
    push: PushSettings | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> "MetricsSettings":
        if self.textfile is None and self.push is None:
            raise fault("says nowhere to leave metrics", "add textfile: PATH, or push: {url: https://…}")
        if self.textfile is not None and not self.textfile.endswith(".prom"):
            hint = "node_exporter reads files whose names end with .prom"
            raise fault("would be read by nobody", hint, at=("textfile",))
        return self


class OtlpTraces(Section):
    """Traces to an OpenTelemetry collector, by OTLP over HTTP. OpenTelemetry's own `OTEL_` variables apply.

    Args:
        endpoint: The collector's base address; when left out, that of OTEL_EXPORTER_OTLP_ENDPOINT or its relatives.
    """

    type: Literal["otlp"] = "otlp"
    endpoint: ServiceUrl | None = None


TracesSettings = Annotated[OtlpTraces, one_type("type", ("otlp",))]
