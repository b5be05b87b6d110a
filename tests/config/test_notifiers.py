"""The `notifiers` section: what is right, and what is said of what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rotator.config.notify_rules import who_is_told
from rotator.config.notify_settings import SnsNotifier
from tests.config.plug_ins import install
from tests.config.right_config import ENV, load, problems

if TYPE_CHECKING:
    from pathlib import Path

SLACK = "https://hooks.slack.example/services/canary-part-of-the-address"
WITH = {**ENV, "SLACK_URL": SLACK, "HOOK_KEY": "the-signing-key"}
ALL: dict[str, Any] = {
    "oncall": {"type": "slack", "url": {"env": "SLACK_URL"}},
    "hook": {"type": "webhook", "url": "https://ops.example/rotator", "signing_key": {"env": "HOOK_KEY"}},
    "topic": {"type": "sns", "topic_arn": "arn:aws:sns:eu-central-1:123456789012:rotator"},
    "bus": {"type": "eventbridge", "region": "eu-west-1"},
    "pager": {"type": "command", "command": ["sh", "-c", "cat"], "pass_environment": ["HOOK_KEY"]},
}


def notifying(**sections: Any) -> Any:
    return lambda content: content.update({"notifiers": ALL, **sections})


def wrong(name: str, **keys: Any) -> list[tuple[str, str, str]]:
    """Return the problems of one notifier whose keys are changed; None leaves one out."""
    entry = {key: value for key, value in {**ALL[name], **keys}.items() if value is not None}
    return problems(lambda content: content.update(notifiers={name: entry}), WITH)


def test_all_five_are_read() -> None:
    """Each type with its own keys; a topic's region is the one in its ARN."""
    settings = load(notifying(), WITH)
    assert list(settings.notifiers) == list(ALL)
    topic = settings.notifiers["topic"]
    assert isinstance(topic, SnsNotifier)
    assert topic.topic_region == "eu-central-1"
    assert settings.warnings == []


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({}, ("oncall", "hook", "topic", "bus", "pager")),
        ({"on_rotated": ["hook", "bus"]}, ("oncall", "topic", "pager")),
        ({"on_rotated": ["hook"], "notify": ["hook", "oncall"]}, ("hook", "oncall")),
    ],
)
def test_who_is_told_of_cases(sections: dict[str, Any], told: tuple[str, ...]) -> None:
    """Those under `notify`; without it, all that are not named for rotations alone."""
    assert who_is_told(load(notifying(**sections), WITH)) == told


def test_a_credential_names_its_own() -> None:
    """Whoever is named by a credential alone is not told of cases unless `notify` says so."""

    def change(content: dict[str, Any]) -> None:
        content["notifiers"] = ALL
        content["credentials"][0]["on_rotated"] = ["bus"]

    assert "bus" not in who_is_told(load(change, WITH))


@pytest.mark.parametrize(
    ("sections", "path"), [({"notify": ["onkall"]}, "notify[0]"), ({"on_rotated": ["hook", "onkall"]}, "on_rotated[1]")]
)
def test_an_unknown_name_is_told_with_the_one_that_was_meant(sections: dict[str, Any], path: str) -> None:
    """By its place in the list."""
    found = problems(notifying(**sections), WITH)
    assert found == [(path, "there is no notifier 'onkall'", "did you mean 'oncall'?")]


def test_an_unknown_name_of_a_credential() -> None:
    """By the credential's name."""

    def change(content: dict[str, Any]) -> None:
        content["notifiers"] = ALL
        content["credentials"][0]["on_rotated"] = ["nobody"]

    [(path, what, hint)] = problems(change, WITH)
    assert (path, what) == ("credentials[0] (one).on_rotated[0]", "there is no notifier 'nobody'")
    assert hint.startswith("known: bus, hook")


@pytest.mark.parametrize(
    ("name", "keys", "path", "what"),
    [
        ("hook", {"url": "http://ops.example/x"}, "url", "http:// would send secrets in the clear"),
        ("hook", {"url": "ops.example"}, "url", "is not a URL"),
        ("hook", {"url": "https://me:pass@ops.example/"}, "url", "must not carry a user name or password"),
        ("hook", {"url": {"env": "NO_URL"}}, "url", "the environment variable NO_URL is not set"),
        ("hook", {"signing_key": None}, "signing_key", "is missing"),
        ("hook", {"signing_key": "canary"}, "signing_key", "a secret must not stand in the configuration"),
        ("oncall", {"url": SLACK}, "url", "a secret must not stand in the configuration"),
        ("oncall", {"url": {"env": "UNSET"}}, "url", "the environment variable UNSET is not set"),
        ("oncall", {"url": {"env": "HOOK_KEY"}}, "url", "HOOK_KEY is not a URL"),
        ("oncall", {"url": {"file": "/no/such/file"}}, "url", "the file /no/such/file is not there"),
        ("topic", {"topic_arn": "arn:aws:sqs:us-east-1:1:x"}, "topic_arn", "is not the ARN of a topic"),
        ("topic", {"topic_arn": None}, "topic_arn", "is missing"),
        ("topic", {"endpoint_url": "http://sns.example"}, "endpoint_url", "http:// would send secrets in the clear"),
        ("bus", {"bus": "arn:aws:sns:us-east-1:123456789012:x y"}, "bus", "is not the name or ARN of an event bus"),
        ("pager", {"command": []}, "command", "is empty"),
        ("pager", {"command": "page"}, "command", "must be a list, not a text"),
        ("pager", {"command": ["/no/such/program"]}, "command", "/no/such/program is not there"),
        ("pager", {"command": ["/etc/passwd"]}, "command", "/etc/passwd is not executable"),
        ("pager", {"pass_environment": ["UNSET"]}, "pass_environment", "the environment variable UNSET is not set"),
        ("pager", {"pass_environment": ["a b"]}, "pass_environment", "holds what is not the name of a variable"),
        ("pager", {"comand": ["x"]}, "comand", "unknown key"),
        ("pager", {"type": "comand"}, "type", "is not a known type"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(name: str, keys: dict[str, Any], path: str, what: str) -> None:
    """One problem for each fault, at its key; no text quotes what may be a secret."""
    [(where, told, hint)] = wrong(name, **keys)
    assert (where, told) == (f"notifiers.{name}.{path}", what)
    assert "canary" not in f"{told} {hint}"


def test_nobody_told_of_cases_is_a_warning() -> None:
    """Notifiers that are configured for rotations alone, or not named at all, leave a dead grant untold."""
    settings = load(notifying(notify=[]), WITH)
    assert [warning.what for warning in settings.warnings] == ["nobody is told of cases: a dead grant, a doubt, an end"]


def test_a_plug_in_is_a_notifier_like_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A type that no table has comes from the entry points; it is made with its name, its keys and the clock."""
    from rotator.wiring import Surroundings, build

    code = (
        "class Pigeon:\n"
        "    def __init__(self, name, options, clock):\n"
        "        self.made = name, dict(options), clock\n"
        "    def deliver(self, notice, *, deadline_s): pass\n"
        "    def close(self): pass\n"
    )
    install(
        tmp_path, monkeypatch, module="pigeon_plug_in", code=code,
        points="[rotator.notifiers]\npigeon = pigeon_plug_in:Pigeon\n",
    )  # fmt: skip
    settings = load(lambda content: content.update(notifiers={"p": {"type": "pigeon", "loft": 3}}), WITH)
    surroundings = Surroundings.real(WITH)
    told = build(settings, "once", surroundings).told
    assert told is not None
    made: Any = told.notifiers["p"]
    assert made.made == ("p", {"loft": 3}, surroundings.clock)


def test_one_wrong_notifier_hides_nothing_of_the_others() -> None:
    """Each is an entry of its own: what is wrong with the rest, and with who is named, is told as well."""
    found = problems(
        lambda content: content.update(
            notifiers={
                "topic": {"type": "sns", "topic_arn": "arn"},
                "gone": {"type": "command", "command": ["/no/such"]},
            },
            notify=["oncal", "topic"],
        ),
        WITH,
    )
    assert [what for _, what, _ in found] == [
        "is not the ARN of a topic",
        "/no/such is not there",
        "there is no notifier 'oncal'",
    ]
