"""Names and fingerprints of code, and tables of a user's own things."""

import functools
import inspect
import linecache
import math
import sys
import types

import jax
import numpy as np
import pytest

from sparse_gf.core import code, own
from sparse_gf.core.errors import UserError

SOURCE = """
import math
FACTOR = 2
SIZES = (1, 2)
TABLE = [0.5, 1.5]
def helper(x): return FACTOR * x
def mine(x):
    # A remark.
    return helper(x) + SIZES[0] + TABLE[1]
class Net:
    def __call__(self, x): return mine(x)
def make(a):
    def inner(x): return a * x
    return inner
half = lambda x: x / 2
"""


def module_of(source, name="a_users_module"):
    """A module made of source, as if it had been read from a file."""
    file = f"/nowhere/{name}.py"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    made = types.ModuleType(name)
    made.__file__ = file
    sys.modules[name] = made
    exec(compile(source, file, "exec"), vars(made))
    return made


@pytest.fixture
def module():
    yield module_of(SOURCE)
    del sys.modules["a_users_module"]


def test_names_say_module_name_and_what_is_held(module):
    def named(thing):
        return code.name("config.x", thing).replace("a_users_module", "m")

    assert named(module.mine) == "m:mine"
    assert named(module.Net) == "m:Net"
    assert named(module.make(0.5)) == "m:make.<locals>.inner(a=0.5)"
    assert (
        named(functools.partial(module.mine, 1, b=(2, "c"))) == "m:mine(1, b=[2, 'c'])"
    )
    array = functools.partial(module.mine, np.arange(3))
    assert named(array) != named(functools.partial(module.mine, np.arange(4)))
    assert named(module.half).startswith("m:<lambda ")
    assert named(functools.partial(module.mine, b="x" * 200)).startswith("m:mine(<")
    for nameless in (object(), np.array([object()]), jax.random.key(0)):
        with pytest.raises(UserError, match=r"^config\.x holds a .*has no name"):
            named(module.make(nameless))


CHANGED = [
    ("return helper(x) + ", "return helper(x) - ", {"mine", "Net"}),
    ("FACTOR = 2", "FACTOR = 3", {"mine", "Net"}),
    ("FACTOR * x", "x * FACTOR", {"mine", "Net"}),
    ("(1, 2)", "(1, 3)", {"mine", "Net"}),
    ("[0.5, 1.5]", "[0.5, 2.5]", {"mine", "Net"}),
    ("return a * x", "return x * a", {"inner"}),
    ("x / 2", "x / 3", {"half"}),
    ("# A remark.", "# Another.", set()),
    ("import math", "import numpy", set()),
]


@pytest.mark.parametrize(("before", "after", "changed"), CHANGED)
def test_a_fingerprint_sees_what_decides(module, before, after, changed):
    def prints(found):
        things = found.mine, found.Net, found.make(1.0), found.half
        names = "mine", "Net", "inner", "half"
        return dict(zip(names, map(code.fingerprint, things), strict=True))

    first = prints(module)
    assert SOURCE.count(before) == 1
    second = prints(module_of(SOURCE.replace(before, after)))
    assert {name for name in first if first[name] != second[name]} == changed


def test_code_without_source_has_a_fingerprint(module):
    file = inspect.getsourcefile(module.mine)
    before = code.fingerprint(module.mine)
    linecache.cache.pop(file)
    typed_in = code.fingerprint(module.mine)
    assert before != typed_in == code.fingerprint(module.mine)
    module.FACTOR = 5
    assert typed_in != code.fingerprint(module.mine)


def test_what_is_written_is_found_again(module):
    table = own.Table("an activation", {"relu"})
    text = table.named("config.x", functools.partial(module.mine, 1, b=(2,)))
    assert table.named("config.x", "relu") == "relu"
    assert text == table.named("config.x", "a_users_module:mine(1, b=[2])")
    assert own.plain(text) == "a_users_module:mine(1, b=[2])"
    elsewhere = own.Table("an activation", {"relu"})
    found = elsewhere.get(table.named("config.x", module.mine))
    assert found is module.mine
    assert elsewhere.named("config.x", text) == text
    assert table.get(table.named("config.x", math.sqrt)) is math.sqrt


def test_a_registered_name_stands_for_the_newest(module):
    table = own.Table("an activation", {"relu"})
    assert table.register("mine")(module.mine) is module.mine
    text = table.named("config.x", "mine")
    assert own.plain(text) == "mine"
    # The function itself goes by the name that it was given.
    assert table.named("config.x", module.mine) == text
    changed = module_of(SOURCE.replace("FACTOR = 2", "FACTOR = 3"))
    table.register("mine")(changed.mine)
    assert table.named("config.x", "mine") != text
    assert table.get(text) is module.mine
    with pytest.raises(UserError, match=r"'mine', an activation, is not the code that"):
        own_of_other_code(table).get(text)


def own_of_other_code(table):
    """As in another process, where the newest alone was registered."""
    other = own.Table(table.what, table.known)
    other._registered = table._registered
    return other


REFUSED = [
    ("relo", r"^config\.x is 'relo'; .*Did you mean 'relu'"),
    (3, r"^config\.x is 3; it must be one of an activation, relu"),
    ("nowhere:f", r"'nowhere:f', which cannot be imported \(No module named"),
    ("math:squirt", r"which cannot be imported \(.*no attribute 'squirt'"),
    ("math:sqrt(f())", r"which cannot be imported \(malformed node"),
    ("a b:c", r"'a b:c', which is no MODULE:NAME"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_what_is_not_there_is_refused(value, message):
    with pytest.raises(UserError, match=message):
        own.Table("an activation", {"relu"}).named("config.x", value)


@pytest.mark.parametrize("name", ["relu", "a b", "a:b", "", 3])
def test_names_to_register_are_new(name):
    with pytest.raises(UserError, match="the name to register is"):
        own.Table("an activation", {"relu"}).register(name)


def test_what_is_not_registered_here_says_so():
    with pytest.raises(UserError, match="'mine', an activation, is registered"):
        own.Table("an activation", {"relu"}).get("mine#12345678")
