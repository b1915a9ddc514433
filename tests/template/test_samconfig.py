"""Deployment settings in samconfig.toml."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from local.deployment import SAMCONFIG, check, parameters
from local.template import TemplateError
from tests.support.processes import local_command
from tests.template.conftest import DEPLOYMENT

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = " ".join(f'{name}="{value}"' for name, value in DEPLOYMENT.items())


def config(folder: Path, overrides: str, stage: str = "dev") -> Path:
    path = folder / "samconfig.toml"
    path.write_text(f"version = 0.1\n[{stage}.deploy.parameters]\nparameter_overrides = '{overrides}'\n")
    return path


def test_unchanged_deployment_succeeds() -> None:
    """A pipeline may deploy the same version again; no stage is guided, as Enter would accept a prompt."""
    settings = tomllib.loads(SAMCONFIG.read_text())

    deployments = [section["deploy"]["parameters"] for section in settings.values() if isinstance(section, dict)]
    assert len(deployments) == 3
    assert {deployment["fail_on_empty_changeset"] for deployment in deployments} == {False}
    assert not [deployment for deployment in deployments if deployment.get("guided")]


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_fresh_checkout_names_the_missing_parameters(stage: str) -> None:
    """The error names both ways to identify administrators, before the upload."""
    with pytest.raises(TemplateError, match=r"Give AdminEmail .* Or give JwtIssuer, JwtAudience, AdminClaimRule"):
        check(stage)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (GIVEN.replace('https://issuer.example.com/"', ' "', 1), "Parameter JwtIssuer: give the issuer exactly"),
        (GIVEN.replace("role=admin", "role"), "Parameter AdminClaimRule: must"),
        (GIVEN.replace("service-keys", " "), "Parameter JwtAudience: give one audience"),
        (GIVEN + ' JwksUrl=""', "Give JwksUrl"),
        (GIVEN + ' AllowedOrigins="x"', "no parameter AllowedOrigins"),
        (GIVEN + ' LogLevel="WARNING"', "Parameter LogLevel: must be one of DEBUG, INFO"),
        ("", "AdminEmail and JwtIssuer are both empty"),
    ],
)
def test_invalid_parameter_rejected(tmp_path: Path, overrides: str, words: str) -> None:
    """The error has the reason that CloudFormation would give after the upload."""
    with pytest.raises(TemplateError, match=words):
        check("dev", config(tmp_path, overrides))


def test_parameter_overrides_are_parsed_as_by_sam(tmp_path: Path) -> None:
    """Quoting and spaces in a value follow SAM."""
    path = config(tmp_path, GIVEN + r" AlarmEmail=ops@example.com")

    assert parameters("dev", path) == DEPLOYMENT | {"AlarmEmail": "ops@example.com"}
    check("dev", path)


def test_unknown_stage_rejected(tmp_path: Path) -> None:
    """A misspelled stage must not deploy with the defaults."""
    with pytest.raises(TemplateError, match=r"samconfig\.toml has no stage prd"):
        check("prd", config(tmp_path, GIVEN))


def test_check_deployment_names_the_setting() -> None:
    """`make deploy` runs this command first, in a fresh checkout as well."""
    ran = local_command("check-deployment", "prod")

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "identity provider. Correct parameter_overrides under [prod.deploy.parameters] in" in ran.stderr


def test_stack_name_leaves_room_for_the_authorizer(tmp_path: Path) -> None:
    """A function's name has at most 64 characters: the stack's name and -authorizer."""
    path = config(tmp_path, GIVEN + "'\n[dev.global.parameters]\nstack_name = '" + 53 * "s")
    check("dev", path)

    path = config(tmp_path, GIVEN + "'\n[dev.global.parameters]\nstack_name = '" + 54 * "s")
    with pytest.raises(TemplateError, match=r"has 54 characters\. Give stage dev a stack_name of at most 53 in"):
        check("dev", path)
