import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf.ensemble import program as program_lib
from sparse_gf.ensemble.program import Program


@pytest.fixture
def traces():
    """A program, and how often it was traced."""
    seen = []

    def function(x):
        seen.append(x.shape)
        return {"double": 2 * x, "sum": x.sum()}

    return Program(function), seen


def test_arguments_of_one_kind_share_a_program(traces):
    program, seen = traces
    shapes = program.prepare(jax.ShapeDtypeStruct((3,), np.dtype("float32")))
    assert (shapes["double"].shape, shapes["sum"].shape) == ((3,), ())
    for value in (np.ones(3, np.float32), np.arange(3, dtype=np.float32)):
        result = program(value)
        np.testing.assert_array_equal(result["double"], 2 * value)
    assert program.num_compiled == len(seen) == 1
    program(np.ones(4, np.float32))
    program(np.ones(4, np.int32))
    assert program.num_compiled == len(seen) == 3


def test_preparing_does_not_wait_and_programs_compile_at_the_same_time(monkeypatch):
    together = threading.Barrier(2, timeout=30)
    compile = jax.stages.Lowered.compile

    def meet(lowered):
        # Broken, and an error, unless two compilers are here at once.
        together.wait()
        return compile(lowered)

    monkeypatch.setattr(jax.stages.Lowered, "compile", meet)
    first, second = Program(lambda x: x + 1), Program(lambda x: x * 3)
    for program in (first, second):
        program.prepare(jnp.ones(2))
    assert float(first(jnp.ones(2)).sum()) == 4
    assert float(second(jnp.ones(2)).sum()) == 6


def test_what_fails_to_compile_says_so_when_it_is_called(monkeypatch):
    def fail(_):
        raise ValueError("no")

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    program = Program(lambda x: x)
    program.prepare(jnp.ones(2))
    with pytest.raises(ValueError, match=r"^no$"):
        program(jnp.ones(2))


def test_a_donated_argument_is_used_up():
    program = Program(lambda x: x + 1, donate_argnums=0)
    given = jnp.ones(1000)
    np.testing.assert_array_equal(program(given), 2)
    assert given.is_deleted()


def test_waiting_is_for_all_that_was_prepared(monkeypatch):
    done = []
    compile = jax.stages.Lowered.compile

    def slowly(lowered):
        time.sleep(0.2)
        done.append(lowered)
        return compile(lowered)

    monkeypatch.setattr(jax.stages.Lowered, "compile", slowly)
    program = Program(lambda x: x - 1)
    program.prepare(jnp.ones(2))
    program.prepare(jnp.ones(3))
    program.wait()
    assert len(done) == 2
    assert program_lib._compilers() is program_lib._compilers()
