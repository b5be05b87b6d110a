"""The Terraform module for Lambda, compared with the SAM template, whose permissions are compared with calls.

`terraform validate` needs the providers' plug-ins, which no test can count on; `terraform fmt` runs where there is one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from typing import Any

import hcl2
import pytest
import yaml

from tests.deploy.test_lambda import FOLDER, TEMPLATE, Loader, permitted

MODULE = FOLDER / "terraform"

KINDS = {
    "AWS::DynamoDB::Table": "aws_dynamodb_table",
    "AWS::KMS::Key": "aws_kms_key",
    "AWS::Serverless::Function": "aws_lambda_function",
    "AWS::Logs::LogGroup": "aws_cloudwatch_log_group",
    "AWS::SQS::Queue": "aws_sqs_queue",
    "AWS::CloudWatch::Alarm": "aws_cloudwatch_metric_alarm",
    "AWS::Lambda::Permission": "aws_lambda_permission",
}
"""What both have, by name; roles and schedules SAM makes by itself."""


def plain(value: Any) -> Any:
    """Return what the parser found without the quotes that it leaves around texts."""
    if isinstance(value, str):
        return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items() if key != "__is_block__"}
    return value


@cache
def module() -> dict[str, Any]:
    """Return all files' blocks: `{"resource": {kind: {name: body}}, "variable": {name: body}, …}`."""
    found: dict[str, Any] = {}
    for file in sorted(MODULE.glob("*.tf")):
        with file.open() as text:
            for kind, blocks in plain(hcl2.load(text)).items():
                for block in blocks:
                    for name, body in block.items():
                        if kind in {"resource", "data"}:
                            found.setdefault(kind, {}).setdefault(name, {}).update(body)
                        else:
                            found.setdefault(kind, {})[name] = body
    return found


def resources(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = module()["resource"].get(kind, {})
    return found


@cache
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)
    return found


def of_template(kind: str) -> dict[str, Any]:
    return {name: one["Properties"] for name, one in template()["Resources"].items() if one["Type"] == kind}


def test_it_names_exactly_the_actions_that_the_template_names() -> None:
    """Whose own are compared with the calls of a fleet on emulators."""
    [document] = module()["data"]["aws_iam_policy_document"].values()
    statements = document["statement"] + [
        one["statement"]["content"][0] for one in document["dynamic"] if "statement" in one
    ]
    actions = {action for one in statements for action in one["actions"]}
    text = (MODULE / "permissions.tf").read_text()
    actions |= set(re.findall(r'Action = "((?:sqs|dynamodb|kms|secretsmanager):\w+)"', text))
    assert actions == permitted()


@pytest.mark.parametrize(("theirs", "ours"), KINDS.items())
def test_it_makes_what_the_template_makes(theirs: str, ours: str) -> None:
    """As many of each kind; one log group stands for each function."""
    count = len(resources(ours))
    if ours == "aws_cloudwatch_log_group":
        count = len(resources("aws_lambda_function"))
    assert count == len(of_template(theirs)) > 0


def test_parameters_and_defaults_are_the_same() -> None:
    """A person who moves from one to the other finds the same words."""
    theirs = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): one.get("Default")
        for name, one in template()["Parameters"].items()
    }
    ours = {name: one.get("default") for name, one in module()["variable"].items()}
    assert theirs.keys() == ours.keys() - {"name", "package", "environment"}
    for name, default in theirs.items():
        shown = str(ours[name]).lower() if isinstance(ours[name], bool) else ours[name]
        assert shown == default, name


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs"),
    [
        (
            "aws_cloudwatch_metric_alarm",
            "AWS::CloudWatch::Alarm",
            {
                "threshold": "Threshold",
                "period": "Period",
                "evaluation_periods": "EvaluationPeriods",
                "statistic": "Statistic",
                "comparison_operator": "ComparisonOperator",
                "treat_missing_data": "TreatMissingData",
                "alarm_description": "AlarmDescription",
                "namespace": "Namespace",
            },
        ),
        (
            "aws_sqs_queue",
            "AWS::SQS::Queue",
            {
                "message_retention_seconds": "MessageRetentionPeriod",
                "sqs_managed_sse_enabled": "SqsManagedSseEnabled",
                "visibility_timeout_seconds": "VisibilityTimeout",
            },
        ),
        (
            "aws_lambda_function",
            "AWS::Serverless::Function",
            {"description": "Description", "reserved_concurrent_executions": "ReservedConcurrentExecutions"},
        ),
    ],
)
def test_what_both_make_is_alike(ours: str, theirs: str, pairs: dict[str, str]) -> None:
    """Thresholds, periods, times: by the resources' names."""
    found = {name: {pair: body.get(pair) for pair in pairs} for name, body in resources(ours).items()}
    expected = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): {pair: body.get(key) for pair, key in pairs.items()}
        for name, body in of_template(theirs).items()
    }
    assert found == expected


def test_functions_have_the_settings_of_the_template() -> None:
    """Runtime, memory, timeout, handler and processor."""
    common = template()["Globals"]["Function"]
    for name, body in resources("aws_lambda_function").items():
        assert body["runtime"] == common["Runtime"], name
        assert body["timeout"] == common["Timeout"], name
        assert body["memory_size"] == common["MemorySize"], name
        assert body["handler"] == common["Handler"], name
        assert body["architectures"] == common["Architectures"], name


def test_state_and_key_outlive_what_made_them() -> None:
    """The table can be brought back and is encrypted; neither is destroyed by mistake."""
    [table] = resources("aws_dynamodb_table").values()
    [key] = resources("aws_kms_key").values()
    assert table["point_in_time_recovery"] == [{"enabled": True}]
    assert table["server_side_encryption"] == [{"enabled": True}]
    assert "ttl" not in table  # a claim that is forgotten is a token that may be spent twice
    assert table["lifecycle"] == key["lifecycle"] == [{"prevent_destroy": True}]
    assert key["enable_key_rotation"] is True


def test_every_reference_leads_somewhere() -> None:
    """No variable, local, resource or data source is used that is not declared, and none declared that is not used."""
    text = "\n".join(file.read_text() for file in sorted(MODULE.glob("*.tf")))
    code = re.sub(r"#.*", "", text)
    used = set(re.findall(r"\bvar\.(\w+)", code))
    assert used == set(module()["variable"])
    assert set(re.findall(r"\blocal\.(\w+)", code)) == set(module()["locals"])
    for kind, name in re.findall(r"(?<![\w.])(aws_\w+)\.(\w+)", code):
        assert name in resources(kind), (kind, name)
    for kind, name in re.findall(r"\bdata\.(\w+)\.(\w+)", code):
        assert name in module()["data"][kind], (kind, name)


def test_the_module_is_formatted() -> None:
    """As `terraform fmt` has it."""
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("there is no terraform here")
    done = subprocess.run(
        [terraform, "fmt", "-check", "-diff", MODULE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
