"""The `stores` section, and how to log in to Vault."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Tag

from rotator import plugins
from rotator.config.secret_sources import EnvSource, SecretSource, Section
from rotator.config.values import PositiveNumber, ServiceUrl, Share, Text, kind_of, one_type


class TokenAuth(Section):
    """A Vault token; without `token`, the one in VAULT_TOKEN.

    Args:
        token: Where it stands: a variable or a file.
    """

    method: Literal["token"] = "token"
    token: SecretSource = EnvSource(env="VAULT_TOKEN")


class AppRoleAuth(Section):
    """Vault's AppRole method.

    Args:
        role_id: Of the role.
        secret_id: Where the secret id stands: a variable or a file.
        mount: Where the method is mounted.
    """

    method: Literal["approle"]
    role_id: Text
    secret_id: SecretSource
    mount: Text = "approle"


class KubernetesAuth(Section):
    """Vault's Kubernetes method, with the pod's service account token.

    Args:
        role: Vault's role.
        mount: Where the method is mounted.
        token_file: The service account's token; read anew at each login.
    """

    method: Literal["kubernetes"]
    role: Text
    mount: Text = "kubernetes"
    token_file: Text = "/var/run/secrets/kubernetes.io/serviceaccount/token"


class AwsAuth(Section):
    """Vault's AWS method, IAM variant.

    Args:
        role: Vault's role; when left out, Vault goes by the name of the IAM principal.
        mount: Where the method is mounted.
        region: For the signature; us-east-1 when left out.
        header: The X-Vault-AWS-IAM-Server-ID that the mount may demand.
    """

    method: Literal["aws"]
    role: Text | None = None
    mount: Text = "aws"
    region: Text | None = None
    header: Text | None = None


class JwtAuth(Section):
    """Vault's JWT method.

    Args:
        role: Vault's role.
        jwt: Where the token stands: a variable or a file.
        mount: Where the method is mounted.
    """

    method: Literal["jwt"]
    role: Text
    jwt: SecretSource
    mount: Text = "jwt"


_AUTH_METHODS = ("approle", "aws", "jwt", "kubernetes", "token")
VaultAuth = Annotated[
    Annotated[TokenAuth, Tag("#token")]
    | Annotated[AppRoleAuth, Tag("#approle")]
    | Annotated[KubernetesAuth, Tag("#kubernetes")]
    | Annotated[AwsAuth, Tag("#aws")]
    | Annotated[JwtAuth, Tag("#jwt")],
    Discriminator(lambda value: kind_of(value, "method", _AUTH_METHODS)),
    one_type("method", _AUTH_METHODS),
]


class PlugIn(Section):
    """A store, state or notifier that a plug-in offers; its own keys are `options`, and the plug-in checks them.

    Args:
        type: The name of its entry point.
    """

    model_config = ConfigDict(extra="allow")

    type: Text

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys beside `type`."""
        return self.model_extra or {}


class WriteQuota(Section):
    """How fast rotator may write.

    Args:
        per_second: The account's quota of write-class calls in this region ("AWS Secrets Manager quotas": 50, for
            PutSecretValue, UpdateSecret, UpdateSecretVersionStage and replication together, not adjustable).
        share: How much of it is for rotator, all replicas together; the rest is for everybody else.
    """

    per_second: PositiveNumber = 50.0
    share: Share = 0.5


class AwsSecretsManagerStore(Section):
    """AWS Secrets Manager; what is left out comes from botocore's own environment and profiles.

    Args:
        region: When left out, botocore's own environment and profiles say it.
        endpoint_url: For a VPC endpoint or an emulator.
        write_quota: What rotator may take of the account's quota of write-class calls.
        writes: `strict` is a compare-and-swap on AWS's side, in two write-class calls; `fenced` is one, with looks
            before and after it (`rotator.stores.aws_fenced`).
    """

    type: Literal["aws-secrets-manager"]
    region: Text | None = None
    endpoint_url: ServiceUrl | None = None
    writes: Literal["strict", "fenced"] = "strict"
    write_quota: WriteQuota = WriteQuota()


class VaultStore(Section):
    """A KV v2 mount of a Vault server.

    Args:
        address: The same text for every replica: it is part of the secrets' identity, under which claims are kept.
        mount: Where the KV engine is mounted.
        namespace: Of Vault Enterprise.
        ca_cert: A PEM file with the authorities that vouch for the server; the system's when left out.
        auth: How rotator logs in.
    """

    type: Literal["vault"]
    address: ServiceUrl
    mount: Text = "secret"
    namespace: Text | None = None
    ca_cert: Text | None = None
    auth: VaultAuth = TokenAuth()


class LocalStore(Section):
    """A SQLite file on this machine; its key file `<path>.key` is made on first use.

    Args:
        path: The file. Its absolute path is part of the secrets' identity, under which claims are kept.
    """

    type: Literal["local"]
    path: Text


_STORE_TYPES = ("aws-secrets-manager", "local", "vault")
StoreSettings = Annotated[
    Annotated[AwsSecretsManagerStore, Tag("#aws-secrets-manager")]
    | Annotated[VaultStore, Tag("#vault")]
    | Annotated[LocalStore, Tag("#local")]
    | Annotated[PlugIn, Tag("#plug-in")],
    Discriminator(lambda value: kind_of(value, "type", _STORE_TYPES)),
    one_type("type", _STORE_TYPES, lambda: plugins.offered("stores")),
]
