"""The wording of a user's mistake."""

import pytest

from sparse_gf.core import errors


def test_a_name_that_is_not_allowed_is_refused_with_the_nearest():
    errors.one_of("config.optimizer", "adam", {"adam", "sgd"})
    with pytest.raises(errors.UserError) as caught:
        errors.one_of("config.optimizer", "adma", {"sgd", "adam"})
    assert str(caught.value) == (
        "config.optimizer is 'adma'; it must be one of adam, sgd. Did you mean 'adam'?"
    )


def test_of_many_names_the_nearest_are_listed_alone():
    names = [f"layer_{number}" for number in range(40)] + ["epochs", "end_epoch"]
    with pytest.raises(errors.UserError) as caught:
        errors.one_of("config key", "epoch", names)
    assert str(caught.value) == (
        "config key is 'epoch'; it must be one of 42 names, such as epochs, end_epoch. "
        "Did you mean 'epochs'?"
    )
    with pytest.raises(errors.UserError, match=r"such as end_epoch, .*layer_11\.$"):
        errors.one_of("config key", "qqq", names)


def test_a_nested_key_is_found_by_its_end():
    with pytest.raises(errors.UserError, match=r"mean 'gsk\.kind' or 'gsw\.kind'\?$"):
        errors.one_of("config key", "kind", ["gsk.kind", "gsw.kind", "king"])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "ValueError"),
        (" \n", "ValueError"),
        ("a full stop.\nand more", "a full stop"),
        ("\n  later", "later"),
        (400 * "x", 300 * "x"),
    ],
)
def test_the_first_line_of_an_error(message, expected):
    assert errors.first_line(ValueError(message)) == expected
