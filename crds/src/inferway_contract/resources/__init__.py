"""Models of the resources `GatewayRoute` and `RateLimitPolicy` of `inferway.dev/v1alpha1`.

Only the operator and the command line read this package; the data plane reads the config document.
"""

from inferway_contract.resources.gateway_route import GatewayRouteSpec
from inferway_contract.resources.rate_limit_policy import RateLimitPolicySpec

API_GROUP = "inferway.dev"
API_VERSION = "v1alpha1"

SPECS: dict[str, type[GatewayRouteSpec] | type[RateLimitPolicySpec]] = {
    "GatewayRoute": GatewayRouteSpec,
    "RateLimitPolicy": RateLimitPolicySpec,
}
"""The model of each kind's spec."""
