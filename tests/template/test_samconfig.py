"""Deployment settings in samconfig.toml."""

from __future__ import annotations

import shlex
import tomllib
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

from local.__main__ import main
from local.deployment import SAMCONFIG, check, parameters, sam_command
from local.template import TemplateError
from tests.support.processes import local_command
from tests.template.conftest import DEPLOYMENT

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
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
    assert "identity provider. Give PARAMETERS='Name=value ...', or correct parameter_overrides" in ran.stderr
    assert "under [prod.deploy.parameters] in samconfig.toml." in ran.stderr


def test_given_parameters_replace_and_complete() -> None:
    """A pipeline edits no file: a given value wins, an empty one included, and the stage's others stay."""
    given = "AdminEmail=ada@example.com\r\nLogRetentionDays=30 AlarmEmail=''\tTracing=Disabled\n"

    assert parameters("prod", given=given) == parameters("prod") | {
        "AdminEmail": "ada@example.com",
        "LogRetentionDays": "30",
        "AlarmEmail": "",
        "Tracing": "Disabled",
    }
    check("prod", given=given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("AdminEmail = ada@example.com", "has the word 'AdminEmail', which is not Name=value"),
        ("AdminEmail=ada@example.com Alarms=false,Dashboard=false", "Parameter Alarms: must be one of"),
        ("AdminEmail=ada@example.com,Alarms=false", "Parameter AdminEmail: must be an e-mail address"),
        ("AdminEmail=ada@example.com AlarmEmail=ada@example.com;bob@example.com", "Parameter AlarmEmail: "),
        ("AdminEmail=ada@example.com Alarms=false Alarms=true", "gives Alarms twice"),
        ("AdminEmail='ada@example.com", "malformed"),
        ("--guided", "has the word '--guided'"),
        ("AdminEmail=ada@example.com Alarm=false", "no parameter Alarm"),
        ("AdminEmail=ada@example.com JwtAudience=x", "JwtIssuer is empty"),
    ],
)
def test_wrong_given_parameters_are_refused(given: str, words: str) -> None:
    """SAM would skip words that it cannot parse, and deploy without them."""
    with pytest.raises(TemplateError, match=words):
        sam_command("dev", given=given)


@pytest.mark.parametrize(
    "value",
    [
        'groups="CN=Key Admins,OU=Groups,DC=example,DC=com"',
        r'groups="CN=Admins\, Keys"',
        "groups=it's",
        "groups=$HOME `id` %s",
        r"a backslash\ before a space",
        "'quoted'",
        '"quoted"',
        "two\nlines",
        "ünïcode",
        "",
    ],
)
def test_every_value_reaches_sam_unchanged(value: str) -> None:
    """The words of the command, parsed as SAM parses them, are the values that were checked."""
    given = f"AdminClaimRule={shlex.quote(value)}"
    with patched_check():
        command = sam_command("prod", ["--tags", "team=keys"], given)

    words = command[command.index("--parameter-overrides") + 1 :]
    assert CfnParameterOverridesType().convert(tuple(words), None, None) == parameters("prod", given=given)
    assert parameters("prod", given=given)["AdminClaimRule"] == value


def test_a_value_that_sam_cannot_pass_is_refused() -> None:
    """SAM has no notation for a backslash at the end, and would pass another value."""
    with patched_check(), pytest.raises(TemplateError, match="SAM cannot pass the value of AdminClaimRule"):
        sam_command("prod", given="AdminClaimRule='at the end\\'")


def patched_check() -> AbstractContextManager[object]:
    """Skip the check of the values, which refuses some of those above."""
    return mock.patch("local.deployment.check")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--parameter-overrides", "Alarms=false"], "must not have --parameter-overrides. It would replace"),
        (["--parameter-overrides=Alarms=false"], "must not have --parameter-overrides"),
        (["--config-env=dev"], "must not have --config-env. Give STAGE instead"),
        (["--stack-name", 54 * "s"], "has 54 characters"),
        ([f"--stack-name={54 * 's'}"], "has 54 characters"),
        (["--config-file", "missing.toml"], "missing.toml cannot be read"),
    ],
)
def test_options_cannot_avoid_the_check(options: list[str], words: str) -> None:
    """An option that would change the checked values is refused, or the check uses it."""
    with pytest.raises(TemplateError, match=words):
        sam_command("dev", options, "AdminEmail=ada@example.com")


@pytest.mark.parametrize(
    ("terminal", "ci", "options", "asks"),
    [
        (True, None, [], True),
        (True, "false", [], True),
        (False, None, [], False),
        (None, None, [], False),
        (True, "true", [], False),
        (False, "true", ["--confirm-changeset"], True),
    ],
    ids=["a person", "a person with CI=false", "no terminal", "closed", "a pipeline with a terminal", "asked to ask"],
)
def test_a_pipeline_is_never_asked(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool | None, ci: str | None, options: list[str], asks: bool
) -> None:
    """Without a person, `sam` gets no input to wait for, and the change set is executed at once."""
    stdin = None if terminal is None else mock.Mock(closed=False, isatty=lambda: terminal)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setenv("PARAMETERS", "AdminEmail=ada@example.com")
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    started: list[list[str]] = []
    redirected: list[int] = []
    monkeypatch.setattr("os.execv", lambda _, command: started.append(command))
    monkeypatch.setattr("os.dup2", lambda _, target: redirected.append(target))

    main(["deploy", "prod", "--template-file", "built.yaml", *options])

    ((_, *command),) = started
    assert command[:3] == ["deploy", "--template-file", "built.yaml"]
    # Without its path, SAM looks for it beside the template.
    assert " ".join(command).count(f"--config-env prod --config-file {SAMCONFIG}") == 1
    assert ("--no-confirm-changeset" not in command) is asks
    assert redirected == ([] if terminal and ci != "true" else [0])
    assert 'AdminEmail="ada@example.com"' in command


def test_deploying_without_a_build_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SAM would deploy the source folders, without their dependencies; or an incomplete build."""
    monkeypatch.setenv("PARAMETERS", "AdminEmail=ada@example.com")
    monkeypatch.setattr("local.__main__.ROOT", tmp_path)

    assert main(["deploy", "dev"]) == 1
    assert "Run make build first." in capsys.readouterr().err
    (tmp_path / ".aws-sam" / "build").mkdir(parents=True)
    (tmp_path / ".aws-sam" / "build" / "template.yaml").touch()
    assert main(["deploy", "dev"]) == 1
    assert "Or deploy with the parameter Architecture of the build (here arm64)" in capsys.readouterr().err


def test_stack_name_leaves_room_for_the_authorizer(tmp_path: Path) -> None:
    """A function's name has at most 64 characters: the stack's name and -authorizer."""
    path = config(tmp_path, GIVEN + "'\n[dev.global.parameters]\nstack_name = '" + 53 * "s")
    check("dev", path)

    path = config(tmp_path, GIVEN + "'\n[dev.global.parameters]\nstack_name = '" + 54 * "s")
    with pytest.raises(TemplateError, match=r"has 54 characters\. Give stage dev a stack_name of at most 53 in"):
        check("dev", path)
