"""Request fields and query parameters that may carry a credential.

The cache keeps responses to different values apart (`cache.identity: Isolate`). The lists hold the fields of the big
providers and of authenticating proxies; the words find the fields of everything else. Names are lower case, with dashes in
place of underscores.
"""

from typing import Final

AUTHENTICATING: Final = frozenset((
    "authorization", "proxy-authorization", "cookie", "cookie2", "signature", "dpop", "api-key", "apikey",
    "x-api-key", "x-apikey", "x-access-token", "x-auth-token", "x-auth-key", "x-session-token", "x-id-token",
    "x-user-token", "x-jwt-assertion", "x-client-secret", "x-password", "x-goog-api-key", "x-goog-iap-jwt-assertion",
    "x-goog-authenticated-user-email", "x-goog-authenticated-user-id", "x-serverless-authorization",
    "ocp-apim-subscription-key", "x-functions-key", "x-ms-client-principal", "x-ms-client-principal-id",
    "x-ms-client-principal-name", "x-ms-token-aad-access-token", "x-ms-token-aad-id-token", "x-zumo-auth",
    "x-amz-security-token", "x-amz-access-token", "x-amzn-oidc-accesstoken", "x-amzn-oidc-data",
    "x-amzn-oidc-identity", "cf-access-client-secret", "cf-access-jwt-assertion", "cf-access-token",
    "cf-aig-authorization", "x-vault-token", "x-consul-token", "x-nomad-token", "kong-admin-token", "x-consumer-id",
    "x-consumer-username", "x-credential-identifier", "xi-api-key", "x-subscription-token", "x-rapidapi-key",
    "x-mashape-key", "helicone-auth", "x-portkey-api-key", "x-portkey-virtual-key", "x-litellm-api-key",
    "x-inferway-key", "x-openai-api-key", "x-anthropic-api-key", "x-cohere-api-key", "x-huggingface-api-key",
    "private-token", "job-token", "deploy-token", "x-gitlab-token", "x-github-token", "x-shopify-access-token",
    "dd-api-key", "dd-application-key", "x-honeycomb-team", "x-sentry-auth", "x-license-key", "x-insert-key",
    "x-query-key", "x-plex-token", "x-emby-token", "x-figma-token", "x-redmine-api-key", "x-parse-session-token",
    "x-algolia-api-key", "x-typesense-api-key", "remote-user", "x-remote-user", "x-forwarded-user",
    "x-forwarded-email", "x-forwarded-access-token", "x-forwarded-client-cert", "x-client-cert", "x-client-dn",
    "client-cert", "x-ssl-client-cert", "x-ssl-client-dn", "x-ssl-client-s-dn", "ssl-client-cert", "ssl-client-s-dn",
))  # fmt: skip
"""Fields whose value is the credential of one user or account, or names a user that a proxy has authenticated."""

SELECTING: Final = frozenset((
    "openai-organization", "openai-project", "anthropic-organization-id", "stripe-account", "x-goog-user-project",
    "x-vault-namespace", "x-portkey-config", "x-auth-email", "x-functions-clientid", "cf-access-client-id",
    "x-client-id", "x-consumer-custom-id", "x-parse-application-id", "x-algolia-application-id",
    "x-splunk-request-channel", "x-firebase-appcheck", "remote-email", "remote-groups", "remote-name",
    "x-remote-email", "x-remote-group", "x-remote-groups", "x-forwarded-groups", "x-forwarded-preferred-username",
    "x-user", "x-user-id", "x-user-name", "x-username", "x-user-email", "x-email", "x-account-id", "x-tenant-id",
    "x-org-id", "x-organization-id", "x-ssl-cert",
))  # fmt: skip
"""Fields that select an account, a project or rights: they separate responses, and authenticate nothing by themselves."""

WORDS: Final = ("auth", "token", "key", "secret", "session", "credential", "jwt", "signature")
"""A field with one of these in its name may carry a credential: it separates responses."""

CHECKED_BY_PROXIES: Final = (
    "client-cert",
    "client-verify",
    "client-dn",
    "client-s-dn",
    "client-i-dn",
    "oidc",
    "principal",
)
"""The same for fields by which proxies forward a certificate or a user that they have checked."""

HARMLESS: Final = frozenset(
    ("idempotency-key", "x-idempotency-key", "accept-signature", "author", "authors", "authority")
)
"""Fields with such a word that carry no credential. The same is true of `sec-*`, which browsers write."""

PARAMETERS: Final = frozenset((
    "sig", "hmac", "code", "password", "passwd", "pass", "pwd", "passphrase", "sid", "phpsessid", "user", "username",
    "userid", "user-id", "uid", "email", "login", "otp", "pin", "ticket", "assertion", "samlresponse",
    "googleaccessid",
))  # fmt: skip
"""Query parameters that may carry a credential without one of the words in their name."""


def is_credential(name: str) -> bool:
    """Whether a field of this name (lower case, with dashes) may carry a credential."""
    if name in AUTHENTICATING or name in SELECTING:
        return True
    if name in HARMLESS or name.startswith("sec-"):
        return False
    return any(word in name for word in WORDS) or any(part in name for part in CHECKED_BY_PROXIES)


def is_credential_parameter(name: str) -> bool:
    """Whether a query parameter of this name (lower case, with dashes) may carry a credential."""
    if name in PARAMETERS or name in AUTHENTICATING or name in SELECTING:
        return True
    # Search terms and campaigns are what rules exclude most, and `keyword` has `key` in it.
    if name in HARMLESS or name.startswith("utm-"):
        return False
    rest = name.replace("keyword", "")
    return any(word in rest for word in WORDS)
