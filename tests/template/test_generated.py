"""The parts of template.yaml that `make template` generates, and the page of services."""

import pytest

from service_keys.admin.services import SERVICES
from tests.support.processes import ROOT
from tools import generate_services_doc, generate_template
from tools.generate_template import TEMPLATE, generate, reader_policy

START = "  # >>> reader policies: made by `make template`"


def test_the_template_is_current() -> None:
    """template.yaml is the output of `make template`."""
    written = TEMPLATE.read_text()

    assert generate(written) == written, "run make template"


def test_the_page_of_services_is_current() -> None:
    """docs/services.md is the output of `make docs`."""
    assert (ROOT / "docs" / "services.md").read_text() == generate_services_doc.document(), "run make docs"


def test_generation_is_idempotent_and_keeps_the_rest() -> None:
    """Replace changed, emptied and foreign text between the markers, and no byte outside of them."""
    written = TEMPLATE.read_text()
    before, _, rest = written.partition(START)
    generated, end, after = rest.partition("  # <<<")
    for inside in ("\n", "\n  Made: {by: hand}\n", generated.replace("spotify", "spotfy"), f"{generated}\n\n"):
        changed = f"# é \t\n{before}{START}{inside}{end}{after}"

        assert generate(changed) == f"# é \t\n{before}{START}{generated}{end}{after}"
        assert generate(generate(changed)) == generate(changed)


def test_an_added_service_changes_the_generated_parts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a policy and an output for a service; list it as verifiable only if it has a probe."""
    written = TEMPLATE.read_text()
    for verifiable in (False, True):
        monkeypatch.setattr(generate_template, "SERVICES", [*SERVICES, "on"])
        monkeypatch.setattr(generate_template, "VERIFIABLE_SERVICES", ["spotify", "on"] if verifiable else ["spotify"])
        added = set(generate(written).splitlines()) - set(written.splitlines())

        assert "  ReadOnKeys:" in added
        assert "  ReadOnKeysPolicyArn:" in added
        assert ('&verifiable ["spotify", "on"]' in "\n".join(added)) == verifiable
        assert not [line for line in added if " on]" in line or line.endswith(": on")], "YAML reads on as a boolean"


def test_another_version_changes_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate the mapping from the package's version."""
    written = TEMPLATE.read_text()
    monkeypatch.setattr(generate_template, "__version__", "2.3.4")

    (added,) = set(generate(written).splitlines()) - set(written.splitlines())

    assert added == '  ServiceKeys: {Release: {Version: "2.3.4"}}'


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: text.replace(START, "  #"),
        lambda text: text.replace("# <<<", "#", 1),
        lambda text: text.replace("# >>> reader policies", "# >>> readers"),
        lambda text: text + text,
    ],
    ids=["no start", "no end", "another name", "twice"],
)
def test_a_missing_marker_is_an_error(broken: object) -> None:
    """Name the parts that template.yaml must have."""
    assert callable(broken)
    with pytest.raises(ValueError, match="it must have"):
        generate(broken(TEMPLATE.read_text()))


@pytest.mark.parametrize(
    ("service", "policy"),
    [("openai", "ReadOpenaiKeys"), ("apple-music", "ReadAppleMusicKeys"), ("7digital", "Read7DigitalKeys")],
)
def test_a_policy_has_a_name_that_cloudformation_accepts(service: str, policy: str) -> None:
    """Drop hyphens, which logical ids cannot contain."""
    assert reader_policy(service) == policy
