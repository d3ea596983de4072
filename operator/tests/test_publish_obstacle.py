"""Why the config cannot be published: the words for conditions, and when there are any."""

import json

import pytest

from inferway_kube.errors import ApiError, of_response
from inferway_operator.publish.obstacle import PATIENCE, Obstacle

CALL = "POST /api/v1/namespaces/gateway/configmaps"
DELETED = "unable to create new content in namespace a because it is being terminated"
PREFIX = "the config could not be published: "


def refused(code: int, message: str) -> ApiError:
    return of_response(CALL, code, "", json.dumps({"kind": "Status", "message": message}).encode())


def of_shard(message: str, name: str = "inferway-0123456789") -> ApiError:
    return refused(403, f'configmaps "{name}" is forbidden: {message}')


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (of_shard("exceeded quota: q, used: 9"), "a quota denies it: exceeded quota: q, used: 9"),
        (
            of_shard('User "a" cannot create resource "configmaps"'),
            'the operator lacks a role: User "a" cannot create resource "configmaps"',
        ),
        (
            of_shard(DELETED),
            f"the gateway's namespace is being deleted: {DELETED}",
        ),
        (
            refused(403, 'admission webhook "v" denied the request: no\x1b[2J'),
            'an admission policy denies it: admission webhook "v" denied the request: no\\x1b[2J',
        ),
        (
            refused(500, 'Internal error occurred: failed calling webhook "v": EOF'),
            'an admission webhook fails: Internal error occurred: failed calling webhook "v": EOF',
        ),
        (refused(422, "data: Too long"), "data: Too long"),
    ],
)
def test_certain_refusal_is_an_obstacle_at_once(error: ApiError, expected: str) -> None:
    assert Obstacle().met(error, 0.0) == PREFIX + expected


@pytest.mark.parametrize(
    "error", [refused(409, "changed"), refused(500, "etcdserver: no leader"), ApiError(f"{CALL}: late")]
)
def test_failure_that_may_pass_is_an_obstacle_when_it_lasts(error: ApiError) -> None:
    obstacle = Obstacle()
    assert obstacle.met(error, 100.0) == ""
    assert obstacle.met(error, 100.0 + PATIENCE) == PREFIX + error.reason.removeprefix(f"{error.status} ")
    obstacle.clear()
    assert obstacle.met(error, 200.0) == ""


def test_text_of_an_obstacle_stays_while_it_does() -> None:
    """Each attempt has another shard and other figures; the statuses of all objects must not follow them."""
    obstacle = Obstacle()
    first = obstacle.met(of_shard("exceeded quota: q, used: 9"), 0.0)
    assert obstacle.met(of_shard("exceeded quota: q, used: 8", "inferway-9876543210"), 2.0) == first
    assert obstacle.met(of_shard("exceeded quota: q, used: 8", "inferway-9876543210"), 2.0) == first
    assert obstacle.met(refused(422, "data: Too long"), 4.0) == PREFIX + "data: Too long"
