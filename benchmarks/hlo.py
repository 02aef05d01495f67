"""Counts what a compiled program does, from its text (XLA's optimized HLO).

A *kernel* is an instruction that runs on the device: everything but parameters,
constants, tuples and other names of memory that exists. Its bytes are those of its
operands and results; of an operand that is only sliced or gathered from, and of a
result that is written in place, those of the part. Arrays in a TPU's fast memory have
none. What a cache serves is not known here.
"""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

WIDTHS = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2}
WIDTHS |= {"s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "token": 0}
"""Bytes of an element."""

NO_KERNELS = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
NO_KERNELS |= {"after-all", "opt-barrier", "copy-done", "async-done", "async-update"}
NO_KERNELS |= {"slice-done", "partition-id", "replica-id"}

SLICES = frozenset({"slice", "dynamic-slice", "gather"})


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
        name: Unique in the module.
        shape: As written, of all results.
        opcode: What it does.
        operands: Names of other instructions of the computation.
        attributes: The rest of the line.
        literal: What is between the parentheses.
    """

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    literal: str

    @functools.cached_property
    def arrays(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Type and sizes of each result."""
        return tuple((dtype, sizes) for dtype, sizes, _ in _arrays(self.shape))

    @property
    def num_bytes(self) -> int:
        """Bytes of all results in the device's large memory."""
        found = [
            0 if is_fast else WIDTHS.get(dtype, 1) * math.prod(sizes)
            for dtype, sizes, is_fast in _arrays(self.shape)
        ]
        # A copy that is begun names what it copies, too.
        return found[0] if self.opcode == "copy-start" else sum(found)

    def attribute(self, pattern: str) -> str:
        """The first group of a pattern in the attributes, empty if it is not there."""
        found = re.search(pattern, self.attributes)
        return found.group(1) if found else ""

    @property
    def body(self) -> str:
        """The computation that a loop repeats."""
        return self.attribute(r"body=%([\w.-]+)")

    @property
    def called(self) -> str:
        """The computation that a fusion or a call runs."""
        return self.attribute(r"(?:calls|to_apply)=%([\w.-]+)")


@dataclasses.dataclass
class Computation:
    """A function of the module.

    Attributes:
        instructions: By name, in their order.
        root: Name of the one that it returns.
    """

    instructions: dict[str, Instruction]
    root: str = ""


class Launch(NamedTuple):
    """A kernel of a program that is run.

    Attributes:
        kernel: The instruction.
        times: How often it runs in all loops around it.
        bytes: Read and written each time.
        flops: Of products and convolutions, each time: twice their multiply-adds.
    """

    kernel: Instruction
    times: int
    bytes: int
    flops: int


class Loop(NamedTuple):
    """A loop of the program, outside of all others.

    Attributes:
        trips: Times that its body runs; 1 where XLA does not know.
        body: Name of the computation.
    """

    trips: int
    body: str


class Module:
    """A program."""

    def __init__(self, text: str):
        """Parses a program, as ``jax.stages.Compiled.as_text`` gives it."""
        self.computations, self.entry = _parse(text)

    def loops(self, computation: str = "") -> Iterator[Loop]:
        """The outermost loops."""
        for own in self.computations[computation or self.entry].instructions.values():
            if own.opcode == "while":
                yield Loop(self._trips(own), own.body)
            elif own.opcode in ("call", "conditional"):
                for called in _branches(own):
                    yield from self.loops(called)

    def launches(self, computation: str = "", times: int = 1) -> Iterator[Launch]:
        """All that a computation runs; of branches the one with most bytes."""
        computation = computation or self.entry
        for own in self.computations[computation].instructions.values():
            if own.opcode == "while":
                yield from self.launches(own.body, times * self._trips(own))
            elif own.opcode in ("call", "conditional"):
                branches = [list(self.launches(b, times)) for b in _branches(own)]
                yield from max(branches, key=num_bytes)
            elif own.opcode not in NO_KERNELS:
                flops = sum(_flops(*product) for product in self.products(own))
                yield Launch(own, times, self.bytes(computation, own), flops)

    def bytes(self, computation: str, instruction: Instruction) -> int:
        """What a kernel reads and writes."""
        if instruction.opcode == "slice-start":
            # The whole, the part that is copied, and what to wait for.
            (_, _, from_fast), (dtype, sizes, to_fast), _ = _arrays(instruction.shape)
            return WIDTHS[dtype] * math.prod(sizes) * (2 - from_fast - to_fast)
        values = self.computations[computation].instructions
        inner = self._inside(values, instruction)
        parameters = [i for i in inner.instructions.values() if i.opcode == "parameter"]
        read = sum(_read(inner, parameter) for parameter in parameters)
        return read + _written(inner, inner.instructions[inner.root])

    def products(
        self, instruction: Instruction, values: Mapping[str, Instruction] | None = None
    ) -> Iterator[tuple[Instruction, Mapping[str, Instruction]]]:
        """The products and convolutions of a kernel, each with its surroundings."""
        if instruction.opcode == "fusion":
            inner = self.computations[instruction.called].instructions
            for own in inner.values():
                yield from self.products(own, inner)
        elif _is_product(instruction):
            if values is None:
                values = next(
                    c.instructions
                    for c in self.computations.values()
                    if instruction.name in c.instructions
                )
            yield instruction, values

    def windows(self) -> Iterator[tuple[int, ...]]:
        """The windows of all convolutions; those of one axis are TPUs' products."""
        for computation in self.computations.values():
            for own in computation.instructions.values():
                if _is_product(own) and (
                    size := own.attribute(r"window={size=([\dx]+)")
                ):
                    yield tuple(map(int, size.split("x")))

    def algorithms(self, computation: str = "") -> collections.Counter[str]:
        """How many kernels compute products in which way."""
        found: collections.Counter[str] = collections.Counter()
        for launch in self.launches(computation):
            for product, _ in self.products(launch.kernel):
                emitter = launch.kernel.attribute(r'"kind":"__(\w+)"')
                library = product.attribute(r'custom_call_target="__([^"]*)"')
                precision = product.attribute(
                    r"(?:algorithm=|operand_precision={)(\w+)"
                )
                name = library or emitter or product.opcode
                found[f"{name} {precision or 'default'}"] += 1
        return found

    def _trips(self, loop: Instruction) -> int:
        """Times that a loop runs: as XLA says, or as its counter is compared."""
        if known := loop.attribute(r'"known_trip_count":{"n":"(\d+)"'):
            return int(known)
        condition = self.computations.get(loop.attribute(r"condition=%([\w.-]+)"))
        if condition is None:
            return 1
        values = condition.instructions
        below = "direction=LT" in values[condition.root].attributes
        limits = [values[name] for name in values[condition.root].operands]
        bounds = [int(own.literal) for own in limits if own.opcode == "constant"]
        return bounds[0] if below and bounds else 1

    def _inside(
        self, values: Mapping[str, Instruction], instruction: Instruction
    ) -> Computation:
        """What a kernel runs; an operation alone is a fusion of one."""
        if instruction.opcode == "fusion":
            return self.computations[instruction.called]
        parameters = {
            name: dataclasses.replace(values[name], opcode="parameter", operands=())
            for name in instruction.operands
            if name in values
        }
        return Computation(
            parameters | {instruction.name: instruction}, instruction.name
        )


def num_bytes(launches: Iterable[Launch]) -> int:
    """What kernels read and write in all."""
    return sum(launch.times * launch.bytes for launch in launches)


def num_kernels(launches: Iterable[Launch]) -> int:
    """How often a kernel is launched."""
    return sum(launch.times for launch in launches)


def seconds(launches: Iterable[Launch], bandwidth: float, rate: float) -> float:
    """Time at the roofline: every kernel's bytes or products, whichever take longer.

    Args:
        launches: The kernels.
        bandwidth: Bytes a second.
        rate: Floating-point operations a second of products.
    """
    return sum(
        launch.times * max(launch.bytes / bandwidth, launch.flops / rate)
        for launch in launches
    )


def _branches(instruction: Instruction) -> list[str]:
    if instruction.opcode == "call":
        return [instruction.called]
    listed = instruction.attribute(r"branch_computations={([^}]*)}")
    if not listed:
        of = instruction.attribute
        pattern = r"_computation=%([\w.-]+)"
        return [of("true" + pattern), of("false" + pattern)]
    return re.findall(r"%([\w.-]+)", listed)


def _users(inner: Computation, name: str) -> list[Instruction]:
    return [own for own in inner.instructions.values() if name in own.operands]


def _read(inner: Computation, value: Instruction) -> int:
    """Bytes of a value that a fusion reads."""
    total = 0
    for user in _users(inner, value.name):
        first = user.operands[0] == value.name and value.name not in user.operands[1:]
        if user.opcode == "bitcast":
            total += _read(inner, user)
        elif user.opcode in SLICES and first:
            total += user.num_bytes
        elif user.opcode == "dynamic-update-slice" and first:
            continue
        else:
            return value.num_bytes
    return min(total, value.num_bytes)


def _written(inner: Computation, root: Instruction) -> int:
    """Bytes that a fusion writes."""
    if root.opcode == "tuple":
        return sum(_written(inner, inner.instructions[o]) for o in root.operands)
    if root.opcode == "bitcast":
        return _written(inner, inner.instructions[root.operands[0]])
    if root.opcode == "dynamic-update-slice":
        return inner.instructions[root.operands[1]].num_bytes
    return root.num_bytes


def _is_product(instruction: Instruction) -> bool:
    return instruction.opcode in ("dot", "convolution") or bool(
        re.search(r'target="__(cudnn\$conv|cublas\$)', instruction.attributes)
    )


def _flops(product: Instruction, values: Mapping[str, Instruction]) -> int:
    first, second = (values[name].arrays[0][1] for name in product.operands[:2])
    out = product.arrays[0][1]
    if contracted := product.attribute(r"lhs_contracting_dims={([\d,]*)}"):
        sizes = (first[int(axis)] for axis in contracted.split(","))
        return 2 * math.prod(out) * math.prod(sizes)
    labels = product.attribute(r"dim_labels=(\S+?)(?:,|$)")
    images, kernel, made = re.split("_|->", labels)
    if "BackwardFilter" in product.attributes:
        # Each weight is a sum over all pixels of all output images.
        pixels = math.prod(second) // second[made.index("f")]
        return 2 * math.prod(out) * pixels
    if "BackwardInput" in product.attributes:
        first, out = out, first
    del images
    taps = math.prod(second) // second[kernel.index("o")]
    # Between the images' pixels there is nothing to multiply: so TPUs take batches.
    apart = product.attribute(r"lhs_dilate=([\dx]+)") or "1"
    return 2 * math.prod(out) * taps // math.prod(map(int, apart.split("x")))


def _parse(text: str) -> tuple[dict[str, Computation], str]:
    computations: dict[str, Computation] = {}
    own, entry = Computation({}), ""
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        if header := re.match(r"(ENTRY )?%([\w.-]+) \(", line):
            own = computations[header.group(2)] = Computation({})
            entry = header.group(2) if header.group(1) else entry
        elif found := re.match(r"\s+(ROOT )?%([\w.-]+) = (.*)", line):
            instruction = _instruction(found.group(2), found.group(3))
            own.instructions[instruction.name] = instruction
            if found.group(1):
                own.root = instruction.name
    return computations, entry


def _instruction(name: str, rest: str) -> Instruction:
    end = _closing(rest) if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    opcode, _, _ = rest.partition("(")
    rest = rest[len(opcode) :]
    end = _closing(rest)
    inside = rest[1 : end - 1]
    operands = tuple(re.findall(r"%([\w.-]+)", inside))
    return Instruction(name, shape, opcode, operands, rest[end:], inside)


def _arrays(shape: str) -> list[tuple[str, tuple[int, ...], bool]]:
    """Type and sizes of each array, and whether it lies in fast memory."""
    found = re.findall(r"([a-z]+\d*(?:e\w+)?)\[([\d,<=]*)\](\{[^}]*\})?", shape)
    return [
        (
            dtype,
            tuple(int(size.strip("<=")) for size in sizes.split(",") if size),
            "S(" in layout,
        )
        for dtype, sizes, layout in found
    ]


def _closing(text: str) -> int:
    """Where the parenthesis that a text starts with is over."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return position + 1
    raise ValueError(f"an open parenthesis in {text[:100]!r}.")
