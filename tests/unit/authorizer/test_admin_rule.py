"""The admin rule: grammar, matching claims and hints."""

from __future__ import annotations

import functools
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authorizer.admin_rule import RULE_PATTERN, AdminRule, Mismatch
from authorizer.errors import ConfigurationError
from authorizer.token_type import REQUIRED_TYPE_PATTERN
from local.template import Template, TemplateError
from tests.template.conftest import DEPLOYMENT

DN = "CN=Key Admins,OU=Groups,DC=example,DC=com"


def admits(rule: str, claims: dict[str, object]) -> bool:
    return AdminRule.parse(rule).mismatch(claims) is None


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
        ("email=ada@example.com", {"email": "ada@example.com", "email_verified": True}),
        ("email=ada@example.com", {"email": "ada@example.com", "email_verified": "true"}),
        ("/email=ada@example.com", {"email": "ada@example.com", "email_verified": True}),
        ("/user/email=ada@example.com", {"user": {"email": "ada@example.com", "email_verified": True}}),
        (
            "https://example.com/email=ada@example.com",
            {"https://example.com/email": "ada@example.com", "https://example.com/email_verified": True},
        ),
        ("verified_primary_email=ada@example.com", {"verified_primary_email": ["ada@example.com"]}),
        ("email_verified=true", {"email_verified": True}),
    ],
)
def test_rule_matches_claim_values(rule: str, claims: dict[str, object]) -> None:
    """A value matches a whole string, an array element or the boolean true."""
    assert admits(rule, claims)


CLAIM_MISSING, VALUE_MISSING, EMAIL_NOT_VERIFIED = Mismatch


@pytest.mark.parametrize(
    ("rule", "claims", "why"),
    [
        ("role=admin", {}, CLAIM_MISSING),
        ("role=admin", {"Role": "admin"}, CLAIM_MISSING),
        ("role=admin", {"role": None}, VALUE_MISSING),
        ('role="a=b"', {"role": "a"}, VALUE_MISSING),
        ("role=admin", {"role": "not an admin"}, VALUE_MISSING),
        ("role=admin", {"role": {"admin": "admin"}}, VALUE_MISSING),
        ("cognito:groups=admins", {"cognito:groups": ["site admins"]}, VALUE_MISSING),
        ("scope=keys", {"scope": "keys:write"}, VALUE_MISSING),
        ("scope=keys:write", {"scope": ["openid keys:write"]}, VALUE_MISSING),
        ("scope=keys:write", {"scope": "openid\tkeys:write"}, VALUE_MISSING),
        ("/a/scope=keys", {"a": {"scope": "openid keys"}}, VALUE_MISSING),
        (f'groups="{DN}"', {"groups": ["OU=Groups"]}, VALUE_MISSING),
        (f'groups="{DN}"', {"groups": ["CN=Key Admins", "DC=example"]}, VALUE_MISSING),
        # Booleans and numbers
        ("role=True", {"role": True}, VALUE_MISSING),
        ("role=1", {"role": True}, VALUE_MISSING),
        ("role=1", {"role": 1}, VALUE_MISSING),
        ("role=1.0", {"role": 1.0}, VALUE_MISSING),
        ("admin=true", {"admin": 1}, VALUE_MISSING),
        ("admin=true", {"admin": "True"}, VALUE_MISSING),
        ("admin=true", {"admin": [True]}, VALUE_MISSING),
        ("admin=true", {"admin": {"true": True}}, VALUE_MISSING),
        ("admin=false", {"admin": False}, VALUE_MISSING),
        ("admin=null", {"admin": None}, VALUE_MISSING),
        # Nested claims
        ("realm_access=admin", {"realm_access": {"roles": ["admin"]}}, VALUE_MISSING),
        ("realm_access/roles=admin", {"realm_access": {"roles": ["admin"]}}, CLAIM_MISSING),
        ("realm_access.roles=admin", {"realm_access": {"roles": ["admin"]}}, CLAIM_MISSING),
        ("/realm_access/roles=admin", {"realm_access": {"roles": ["user"]}}, VALUE_MISSING),
        ("/realm_access/roles=admin", {"/realm_access/roles": ["admin"]}, CLAIM_MISSING),
        ("/realm_access/roles=admin", {"realm_access": ["admin"]}, CLAIM_MISSING),
        ("/realm_access/roles=admin", {"realm_access": "roles"}, CLAIM_MISSING),
        ("/realm_access/roles=admin", {"realm_access": None}, CLAIM_MISSING),
        ("/roles/0=admin", {"roles": []}, CLAIM_MISSING),
        ("/roles/1=admin", {"roles": ["admin"]}, CLAIM_MISSING),
        ("/roles/00=admin", {"roles": ["admin"]}, CLAIM_MISSING),
        ("/roles/-1=admin", {"roles": ["admin"]}, CLAIM_MISSING),
        ("/roles/-=admin", {"roles": ["admin"]}, CLAIM_MISSING),
        ("/roles/٠=admin", {"roles": ["admin"]}, CLAIM_MISSING),
        (f"/roles/{'9' * 5000}=admin", {"roles": ["admin"]}, CLAIM_MISSING),
        ("/role/0=a", {"role": "admin"}, CLAIM_MISSING),
        # E-mail addresses
        ("email=ada@example.com", {"email": "Ada@example.com", "email_verified": True}, VALUE_MISSING),
        ("email=ada@example.com", {"email": "ada@example.com"}, EMAIL_NOT_VERIFIED),
        ("email=ada@example.com", {"email": "ada@example.com", "Email_Verified": True}, EMAIL_NOT_VERIFIED),
        *(
            ("email=ada@example.com", {"email": "ada@example.com", "email_verified": verified}, EMAIL_NOT_VERIFIED)
            for verified in [False, None, "", "false", "True", "TRUE", "1", 1, 1.0, [True], ["true"], {"value": True}]
        ),
        ("/email=ada@example.com", {"email": "ada@example.com"}, EMAIL_NOT_VERIFIED),
        ("Email=ada@example.com", {"Email": "ada@example.com"}, EMAIL_NOT_VERIFIED),
        ("e-mail=ada@example.com", {"e-mail": "ada@example.com"}, EMAIL_NOT_VERIFIED),
        ("emailAddress=ada@example.com", {"emailAddress": "ada@example.com"}, EMAIL_NOT_VERIFIED),
        ("emails=ada@example.com", {"emails": ["ada@example.com"]}, EMAIL_NOT_VERIFIED),
        ("/emails/0=ada@example.com", {"emails": ["ada@example.com"]}, EMAIL_NOT_VERIFIED),
        ("custom:email=ada@example.com", {"custom:email": "ada@example.com"}, EMAIL_NOT_VERIFIED),
        ("user.email=ada@example.com", {"user.email": "ada@example.com", "email_verified": True}, EMAIL_NOT_VERIFIED),
        (
            "/https:~1~1example.com~1email=ada@example.com",
            {"https://example.com/email": "ada@example.com", "email_verified": True},
            EMAIL_NOT_VERIFIED,
        ),
        (
            "/user_metadata/email=ada@example.com",
            {"user_metadata": {"email": "ada@example.com"}, "email_verified": True},
            EMAIL_NOT_VERIFIED,
        ),
        (
            "/firebase/identities/email=ada@example.com",
            {"firebase": {"identities": {"email": ["ada@example.com"]}}, "email_verified": True},
            EMAIL_NOT_VERIFIED,
        ),
    ],
)
def test_rule_rejects_other_claims(rule: str, claims: dict[str, object], why: Mismatch) -> None:
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


@pytest.mark.parametrize("rule", [*(rule for rule, _ in AMBIGUOUS), *MALFORMED])
def test_invalid_rule_rejected_at_deployment(rule: str) -> None:
    """The template's parameter pattern rejects the rules that the parser rejects."""
    with pytest.raises(TemplateError, match="Parameter AdminClaimRule"):
        Template.load(DEPLOYMENT | {"AdminClaimRule": rule})


@functools.cache
@functools.cache
def allowed_pattern(parameter: str) -> str:
    """Return the AllowedPattern of a template parameter."""
    pattern: str = Template.load(DEPLOYMENT).cloudformation["Parameters"][parameter]["AllowedPattern"]
    return pattern


def test_the_template_and_the_function_share_their_patterns() -> None:
    """Both reject the same rules and token types."""
    assert allowed_pattern("AdminClaimRule") == f"^{RULE_PATTERN}$"
    assert allowed_pattern("RequiredTokenType") == f"^({REQUIRED_TYPE_PATTERN})?$"


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
    """Every rule that the template accepts parses, and the reverse."""
    try:
        parsed = AdminRule.parse(rule)
    except ConfigurationError:
        parsed = None
    assert (parsed is not None) == bool(re.fullmatch(allowed_pattern("AdminClaimRule"), rule))
    if parsed:
        assert parsed.path
        assert all(parsed.values)
