"""The peer that is waited for: the table of all moments."""

import pytest

from inferway_dataplane.core.upstreams.awaited import (
    CLIENT_READS,
    CLIENT_SENDS,
    UPSTREAM_ANSWERS,
    UPSTREAM_STREAMS,
    UPSTREAM_TAKES,
    awaited,
)

MOMENTS = [  # the head was read, the request is whole, the upstream takes, the client reads -> the peer
    (False, False, True, True, CLIENT_SENDS),
    (False, False, False, True, UPSTREAM_TAKES),
    (False, True, True, True, UPSTREAM_ANSWERS),
    (False, True, False, True, UPSTREAM_ANSWERS),
    (True, True, True, True, UPSTREAM_STREAMS),
    (True, True, False, True, UPSTREAM_STREAMS),
    (True, False, True, True, CLIENT_SENDS),
    (True, False, False, True, UPSTREAM_TAKES),
    *((head, whole, takes, False, CLIENT_READS) for head in (0, 1) for whole in (0, 1) for takes in (0, 1)),
]


@pytest.mark.parametrize(("has_head", "is_whole", "takes", "reads", "peer"), MOMENTS)
def test_one_peer_is_waited_for_at_each_moment(
    has_head: bool, is_whole: bool, takes: bool, reads: bool, peer: str
) -> None:
    assert awaited(has_head=has_head, is_request_whole=is_whole, takes_body=takes, client_reads=reads) == peer


def test_table_of_moments_is_complete() -> None:
    assert len({tuple(map(bool, moment[:4])) for moment in MOMENTS}) == 16
