"""Numbers as people say them; the examples of docstrings are tests, too."""

import math

import pytest

from sparse_gf.core import words


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 cells"), (1, "1 cell"), ("1", "1 cell"), ("1 or 11", "1 or 11 cells")],
)
def test_nouns_agree_with_their_numbers(number, expected):
    assert words.counted(number, "cell") == expected


def test_numbers_are_said_once_where_they_are_equal():
    assert words.numbers([5, 5]) == "5"
    assert words.numbers(iter([10, 5, 7])) == "5 to 10"


def test_a_time_that_is_not_known_is_not_said():
    assert words.duration(math.nan) == ""
