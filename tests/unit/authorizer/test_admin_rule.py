"""The admin rule: grammar, matching claims and hints."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authorizer.admin_rule import RULE_PATTERN, AdminRule, Mismatch
from authorizer.config import NAME_CLAIMS_PATTERN
from authorizer.errors import ConfigurationError
from authorizer.token_type import REQUIRED_TYPE_PATTERN
from local.template import Template, TemplateError
from tests.template.conftest import DEPLOYMENT

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

ADA = "ada@example.com"
DN = "CN=Key Admins,OU=Groups,DC=example,DC=com"
UNVERIFIED: list[object] = [False, None, "", "false", "True", "TRUE", "1", 1, 1.0, [True], ["true"], {"value": True}]


@pytest.mark.parametrize(
    ("rule", "claims"),
    [
        ("role=admin", {"role": "admin"}),
        ("role=admin,owner", {"role": "owner"}),
        ("role=site admin", {"role": "site admin"}),
        ("role=Geschäftsführung", {"role": "Geschäftsführung"}),
        ("sub=auth0|64b7f0made0up", {"sub": "auth0|64b7f0made0up"}),
        ("name=Ada O'Brien", {"name": "Ada O'Brien"}),
        ("cognito:groups=admins", {"cognito:groups": ["users", "admins"]}),
        ("https://example.com/roles=admin", {"https://example.com/roles": ["admin", 1]}),
        ("realm.roles=admin", {"realm.roles": ["admin"]}),
        ("scope=keys:write", {"scope": "openid keys:write"}),
        ("scp=keys:write", {"scp": "openid keys:write"}),
        ("scp=keys:write", {"scp": ["openid", "keys:write"]}),
        ("/scope=keys:write", {"scope": "openid keys:write"}),
        # Quoted values
        ('role="admin"', {"role": "admin"}),
        ('role="a=b"', {"role": "a=b"}),
        ('role="a;b"', {"role": "a;b"}),
        ('role=" admin "', {"role": " admin "}),
        ('role="a ""b"" c"', {"role": 'a "b" c'}),
        ('role=""""', {"role": '"'}),
        ('role="“quoted”"', {"role": "“quoted”"}),
        (rf'groups="{DN}"', {"groups": [DN]}),
        (rf'groups=admins,"{DN}",owners', {"groups": ["owners"]}),
        (rf'groups=admins,"{DN}",owners', {"groups": [DN]}),
        (r'groups="CN=Lovelace\, Ada,OU=Groups"', {"groups": r"CN=Lovelace\, Ada,OU=Groups"}),
        # Booleans
        ("admin=true", {"admin": True}),
        ("admin=true", {"admin": "true"}),
        ("admin=yes,true", {"admin": True}),
        # Nested claims (RFC 6901)
        ("/role=admin", {"role": "admin"}),
        ("/realm_access/roles=admin", {"realm_access": {"roles": ["user", "admin"]}}),
        ("/resource_access/service-keys/roles=admin", {"resource_access": {"service-keys": {"roles": ["admin"]}}}),
        ("/app_metadata/role=admin", {"app_metadata": {"role": "admin"}}),
        ("/metadata/admin=true", {"metadata": {"admin": True}}),
        ("/https:~1~1example.com~1roles=admin", {"https://example.com/roles": ["admin"]}),
        ("/a~0b/c~1d=x", {"a~b": {"c/d": "x"}}),
        ("/a~01=x", {"a~1": "x"}),
        ("/orgs/1/role=admin", {"orgs": [{"role": "user"}, {"role": "admin"}]}),
        ("/a/0=x", {"a": {"0": "x"}}),
        # E-mail addresses
        (f"email={ADA}", {"email": ADA, "email_verified": True}),
        (f"email={ADA}", {"email": ADA, "email_verified": "true"}),
        (f"/email={ADA}", {"email": ADA, "email_verified": True}),
        (f"/user/email={ADA}", {"user": {"email": ADA, "email_verified": True}}),
        (f"https://a.example/email={ADA}", {"https://a.example/email": ADA, "https://a.example/email_verified": True}),
        (f"verified_primary_email={ADA}", {"verified_primary_email": [ADA]}),
        ("email_verified=true", {"email_verified": True}),
    ],
)
def test_rule_matches_claim_values(rule: str, claims: dict[str, object]) -> None:
    """A value matches a whole string, an array element or the boolean true."""
    assert AdminRule.parse(rule).mismatch(claims) is None


def rejects(why: Mismatch, *cases: tuple[str, Any]) -> list[ParameterSet]:
    """Return test cases: rules, and claims that do not match them for this reason."""
    return [pytest.param(why, rule, claims) for rule, claims in cases]


ROLES = "/realm_access/roles=admin"


@pytest.mark.parametrize(
    ("why", "rule", "claims"),
    [
        *rejects(
            Mismatch.CLAIM_MISSING,
            *(("role=admin", {}), ("role=admin", {"Role": "admin"}), ("/role/0=a", {"role": "admin"})),
            *((rule, {"realm_access": {"roles": ["admin"]}}) for rule in (ROLES[1:], "realm_access.roles=admin")),
            (ROLES, {"/realm_access/roles": ["admin"]}),
            *((ROLES, {"realm_access": value}) for value in (["admin"], "roles", None)),
            ("/roles/0=admin", {"roles": []}),
            *((f"/roles/{index}=admin", {"roles": ["admin"]}) for index in ("1", "00", "-1", "-", "٠", "9" * 5000)),
        ),
        *rejects(
            Mismatch.VALUE_MISSING,
            *(("role=admin", {"role": value}) for value in (None, "not an admin", {"admin": "admin"})),
            ('role="a=b"', {"role": "a"}),
            ("cognito:groups=admins", {"cognito:groups": ["site admins"]}),
            ("scope=keys", {"scope": "keys:write"}),
            *(("scope=keys:write", {"scope": value}) for value in (["openid keys:write"], "openid\tkeys:write")),
            ("/a/scope=keys", {"a": {"scope": "openid keys"}}),
            *((f'groups="{DN}"', {"groups": value}) for value in (["OU=Groups"], ["CN=Key Admins", "DC=example"])),
            ("realm_access=admin", {"realm_access": {"roles": ["admin"]}}),
            (ROLES, {"realm_access": {"roles": ["user"]}}),
            (f"email={ADA}", {"email": "Ada@example.com", "email_verified": True}),
        ),
        # Booleans and numbers
        *rejects(
            Mismatch.VALUE_MISSING,
            *((f"role={value}", {"role": value}) for value in (True, 1, 1.0)),
            ("role=1", {"role": True}),
            *(("admin=true", {"admin": value}) for value in (1, "True", [True], {"true": True})),
            *(("admin=false", {"admin": False}), ("admin=null", {"admin": None})),
        ),
        *rejects(
            Mismatch.EMAIL_NOT_VERIFIED,
            *((f"{name}={ADA}", {name: ADA}) for name in ("email", "Email", "e-mail", "emailAddress", "custom:email")),
            *((f"email={ADA}", {"email": ADA, "email_verified": value}) for value in UNVERIFIED),
            (f"email={ADA}", {"email": ADA, "Email_Verified": True}),
            (f"/email={ADA}", {"email": ADA}),
            *((f"{name}={ADA}", {"emails": [ADA]}) for name in ("emails", "/emails/0")),
            (f"user.email={ADA}", {"user.email": ADA, "email_verified": True}),
            (f"/https:~1~1a.example~1email={ADA}", {"https://a.example/email": ADA, "email_verified": True}),
            (f"/user_metadata/email={ADA}", {"user_metadata": {"email": ADA}, "email_verified": True}),
            (f"/firebase/ids/email={ADA}", {"firebase": {"ids": {"email": [ADA]}}, "email_verified": True}),
        ),
    ],
)
def test_rule_rejects_other_claims(why: Mismatch, rule: str, claims: dict[str, object]) -> None:
    """The mismatch distinguishes a missing claim, a missing value and an unverified e-mail address."""
    assert AdminRule.parse(rule).mismatch(claims) is why


AMBIGUOUS = [
    (f"groups={DN}", f'groups="{DN}"'),
    ("role=a=b", 'role="a=b"'),
    ("role==admin", 'role="=admin"'),
    ("role=admin;owner", 'role="admin;owner"'),
    ("groups='CN admins,DC'", 'groups="CN admins,DC"'),
    ("groups=“Key Admins”", 'groups="Key Admins"'),
    ('role="admin', 'role="admin"'),
    ('role=admin"', 'role="admin"'),
    ('role=the "admin"', 'role="the ""admin"'),
    ('role="a"b"', 'role="a""b"'),
    ('role="a" "b"', 'role="a"" ""b"'),
    ("role=<admin>", 'role="<admin>"'),
    ("role=admin\u00a0x", 'role="admin\u00a0x"'),
    ("role=Key\u2011Admins", 'role="Key\u2011Admins"'),
    (" role = admin , owner ", "Remove the white space: role=admin,owner"),
    ("role=admin, owner", "Remove the white space: role=admin,owner"),
    ("role=admin\n", "Remove the white space: role=admin"),
    ('role="a" ,"b"', 'Remove the white space: role="a","b"'),
]


@pytest.mark.parametrize(("rule", "advice"), AMBIGUOUS, ids=[rule for rule, _ in AMBIGUOUS])
def test_ambiguous_rule_rejected(rule: str, advice: str) -> None:
    """The error shows the unambiguous form."""
    with pytest.raises(ConfigurationError, match=re.escape(advice)):
        AdminRule.parse(rule)


MALFORMED = [
    *("", " ", "role", "=admin", " =admin", "role=", "role= ", "role=,", "role=a,,b", "role=a,", "role=,a", 'role=""'),
    *('"role"=admin', "'role'=admin", '"role=admin"', "ro le=admin", "role,groups=admin", "role!=admin", "role<=a"),
    *("/=admin", "//=admin", "/a/=admin", "/a//b=admin", "/a~=admin", "/a~2b=admin", "/a b=admin", "role\n=admin"),
    *('role="a\nb"', 'role="\x00"', 'role="a""', 'role="""'),
]


@pytest.mark.parametrize("rule", MALFORMED)
def test_malformed_rule_rejected(rule: str) -> None:
    """The error names the variable and shows the form."""
    with pytest.raises(ConfigurationError, match="ADMIN_CLAIM_RULE must read claim=value"):
        AdminRule.parse(rule)


@pytest.mark.parametrize("rule", [*(rule for rule, _ in AMBIGUOUS), *filter(None, MALFORMED)])
def test_invalid_rule_rejected_at_deployment(rule: str) -> None:
    """The template's parameter pattern rejects the rules that the parser rejects."""
    with pytest.raises(TemplateError, match="Parameter AdminClaimRule"):
        Template.load(DEPLOYMENT | {"AdminClaimRule": rule})


@functools.cache
def allowed_pattern(parameter: str) -> str:
    """Return the AllowedPattern of a template parameter."""
    pattern: str = Template.load(DEPLOYMENT).cloudformation["Parameters"][parameter]["AllowedPattern"]
    return pattern


def test_the_template_and_the_function_share_their_patterns() -> None:
    """Both reject the same rules, token types and names of claims."""
    assert allowed_pattern("AdminClaimRule") == f"^({RULE_PATTERN})?$"
    assert allowed_pattern("RequiredTokenType") == f"^({REQUIRED_TYPE_PATTERN})?$"
    assert allowed_pattern("NameClaims") == f"^{NAME_CLAIMS_PATTERN}$"


def test_rejected_parameter_shows_the_quoted_form() -> None:
    """CloudFormation shows the constraint's description instead of the pattern."""
    with pytest.raises(TemplateError, match='groups="CN=Key Admins,OU=Groups,DC=example,DC=com"'):
        Template.load(DEPLOYMENT | {"AdminClaimRule": f"groups={DN}"})


pieces = st.sampled_from(
    ["role", "/a", "/", "~1", "~", "=", ",", '"', '""', "'", " ", "admin", "OU=x", ";", "!", "\n", "\u00a0", "é", "\\"]
)


@settings(derandomize=True, deadline=None, database=None, max_examples=150)
@given(st.lists(pieces, max_size=9).map("".join) | st.from_regex(RULE_PATTERN, fullmatch=True) | st.text(max_size=20))
@example("role=admin\n")
@example("role=\ud800")
def test_the_parser_and_the_template_accept_the_same_rules(rule: str) -> None:
    """Every rule that the template accepts parses, and the reverse. Empty stands for that of the stack's user pool."""
    try:
        parsed = AdminRule.parse(rule)
    except ConfigurationError:
        parsed = None
    assert (parsed is not None) == (rule != "" and bool(re.fullmatch(allowed_pattern("AdminClaimRule"), rule)))
    if parsed:
        assert parsed.path
        assert all(parsed.values)
