"""The table of a client connection's states, and the connection's way through it."""

import pytest
from fake_transport import OK, Wire, get, post

from inferway_dataplane.engine.downstream import states
from inferway_dataplane.engine.downstream.states import (
    CLOSED,
    CLOSED_BY_US,
    CLOSING,
    DEAF,
    EVENT_NAMES,
    FRESH,
    LAST,
    LINGERED,
    LINGERING,
    LOST,
    OPEN,
    REFUSED,
    RESPONDED,
    STATE_NAMES,
    STOPPED,
    TRANSITIONS,
)
from inferway_dataplane.engine.exchange import client


def test_table_has_a_row_for_each_state_and_known_events_only() -> None:
    assert len(TRANSITIONS) == len(STATE_NAMES) == CLOSED + 1
    for row in TRANSITIONS:
        assert set(row) <= set(range(len(EVENT_NAMES)))
        assert set(row.values()) <= set(range(len(STATE_NAMES)))


def test_no_event_leads_back_to_an_earlier_state() -> None:
    for state, row in enumerate(TRANSITIONS):
        assert all(later >= state for later in row.values()), STATE_NAMES[state]


def test_every_connection_can_be_lost() -> None:
    assert all(row[LOST] == CLOSED for row in TRANSITIONS)


@pytest.mark.parametrize(
    ("state", "event", "later"),
    [
        (FRESH, RESPONDED, OPEN),
        (OPEN, REFUSED, DEAF),
        (DEAF, RESPONDED, DEAF),
        (OPEN, STOPPED, LAST),
        (DEAF, STOPPED, LAST),
        (LAST, LINGERED, LINGERING),
        (LINGERING, CLOSED_BY_US, CLOSING),
    ],
)
def test_event_leads_to_the_next_state(state: int, event: int, later: int) -> None:
    assert states.after(state, event) == later


def test_impossible_event_is_named() -> None:
    with pytest.raises(LookupError, match="responded in state lingering"):
        states.after(LINGERING, RESPONDED)


def test_holds_are_single_bits_with_a_name_each() -> None:
    holds = list(client.HOLD_NAMES)
    assert all(hold.bit_count() == 1 for hold in holds)
    assert len(set(client.HOLD_NAMES.values())) == len(holds)


def test_connection_is_open_after_a_response() -> None:
    wire = Wire()
    assert wire.client.state == FRESH
    wire.send(get())
    assert wire.client.state == FRESH
    wire.answer(OK)
    assert wire.client.state == OPEN


def test_connection_lingers_after_a_refusal() -> None:
    wire = Wire()
    wire.send(get(), b"\0garbage\r\n\r\n")
    assert wire.client.state == DEAF
    wire.answer(OK)
    assert wire.client.state == LINGERING
    wire.leave()
    assert wire.client.state == CLOSED


def test_stop_waits_for_the_last_response() -> None:
    wire = Wire()
    wire.send(get())
    wire.client.shutdown()
    assert wire.client.state == LAST
    wire.answer(OK)
    assert wire.client.state == LINGERING
    assert b"connection: close" in wire.client_received()


def test_stop_during_a_refused_requests_body_closes_after_it() -> None:
    wire = Wire()
    wire.send(post(b"/a/../b", b"hello")[:-1])  # answered at once; the rest of the body is read and dropped
    wire.client.shutdown()
    assert wire.client.state == LAST
    wire.send(b"o")
    assert wire.client.state == LINGERING


def test_tls_connection_is_closed_without_lingering() -> None:
    wire = Wire()
    wire.client.transport.can_half_close = False
    wire.client.transport.is_stuck = True
    wire.send(get(b"/", b"Connection: close"))
    wire.answer(OK)
    assert wire.client.state == CLOSING
