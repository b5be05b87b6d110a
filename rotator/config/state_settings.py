"""The `state` section: where the records live that every run has to know."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from rotator import plugins
from rotator.config.secret_sources import Section
from rotator.config.store_settings import PlugIn
from rotator.config.values import ServiceUrl, Text, kind_of, one_type


class LocalState(Section):
    """A SQLite file, for one machine whose disk outlives the run.

    Args:
        path: The file; made with its folder on first use.
    """

    type: Literal["local"] = "local"
    path: Text = "var/rotator.db"


class DynamoDbState(Section):
    """A DynamoDB table whose partition key is `id`, a string.

    Args:
        table: Its name.
        region: When left out, botocore's own environment and profiles say it.
        endpoint_url: For a VPC endpoint or an emulator.
    """

    type: Literal["dynamodb"]
    table: Text
    region: Text | None = None
    endpoint_url: ServiceUrl | None = None


class VaultState(Section):
    """Records under `path` in the mount of one of the stores.

    Args:
        store: The name of a store of the type `vault`.
        path: Below the mount. Nobody else writes or deletes there.
    """

    type: Literal["vault"]
    store: Text
    path: Text = "rotator/state"


_STATE_TYPES = ("dynamodb", "local", "vault")
StateSettings = Annotated[
    Annotated[LocalState, Tag("#local")]
    | Annotated[DynamoDbState, Tag("#dynamodb")]
    | Annotated[VaultState, Tag("#vault")]
    | Annotated[PlugIn, Tag("#plug-in")],
    Discriminator(lambda value: kind_of(value, "type", _STATE_TYPES)),
    one_type("type", _STATE_TYPES, lambda: plugins.offered("state")),
]
