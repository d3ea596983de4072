"""Acknowledgements: what a pod writes is what the operator reads, and nothing else is believed."""

import pytest

from inferway_contract import acknowledgement
from inferway_contract.acknowledgement import Acknowledgement


def test_annotations_read_back_as_the_same_acknowledgement() -> None:
    written = Acknowledgement(
        config="0123456789", endpoints="abcdefabcd", refused="ffffffffff", error="no entry for a/b:80", formats=(1, 2)
    )
    assert acknowledgement.from_annotations(acknowledgement.annotations(written)) == written
    assert acknowledgement.from_annotations(acknowledgement.annotations(Acknowledgement())) == Acknowledgement()


def test_annotations_of_absent_fields_are_empty_strings() -> None:
    assert set(acknowledgement.annotations(Acknowledgement()).values()) == {"", "1"}


def test_annotations_cut_an_error_to_1000_characters() -> None:
    annotations = acknowledgement.annotations(Acknowledgement(error="x" * 5_000))
    assert len(annotations["inferway.dev/error"]) == 1_000


def test_annotations_that_are_not_text_are_ignored() -> None:
    found = {
        "inferway.dev/config-revision": 7,
        "inferway.dev/error": ["x"],
        "inferway.dev/refused-revision": "y" * 2_000,
    }
    assert acknowledgement.from_annotations(found) == Acknowledgement(refused="y" * 1_000)


FORMATS = {
    "1": (1,),
    "1,2": (1, 2),
    "2,1,2": (1, 2),
    "2,3,9999": (2, 3, 9999),
    ",".join(["7"] * 32): (7,),
}
UNREADABLE = [
    None,
    2,
    ["2"],
    "",
    "two",
    "2,",
    ",2",
    "1, 2",
    "-2",
    "0",
    "01",
    "2.0",
    "99999",
    "\u0662",
    ",".join(["7"] * 33),
    "2\n",
    "9" * 9_000,
]


@pytest.mark.parametrize("text", FORMATS)
def test_formats_are_read_in_order(text: str) -> None:
    assert acknowledgement.from_annotations({"inferway.dev/formats": text}).formats == FORMATS[text]


@pytest.mark.parametrize("text", UNREADABLE)
def test_unreadable_formats_count_as_not_reported(text: object) -> None:
    assert acknowledgement.from_annotations({"inferway.dev/formats": text}).formats == (1,)
