"""Which tensor of another tool belongs to which kernel of a network here.

Shapes alone are looked at, never values. A tensor lands on a kernel because the user
says so, or because no other kernel is left for it: among tensors and kernels of one
shape, names decide, then the numbers in names that are otherwise alike. A shape that
only one tensor has needs no name. What is left after that is refused.
"""

import collections
import itertools
import operator
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from sparse_gf.core import errors, words
from sparse_gf.core.errors import UserError
from sparse_gf.masks import naming
from sparse_gf.masks.naming import Name

Shape: TypeAlias = tuple[int, ...]
_Pairs: TypeAlias = dict[str, str]

_NONE: frozenset[str] = frozenset()


def by_name(
    place: str,
    kernels: Mapping[str, Shape],
    tensors: Mapping[str, Shape],
    names: Mapping[str, str | None],
) -> dict[str, str]:
    """The user's pairs, checked.

    Args:
        place: The tensors' origin, for messages.
        kernels: Shapes of the network's kernels, by path.
        tensors: Shapes in the kernels' layout, by the names of tensors.
        names: By path of a kernel the name of its tensor, None for a kernel that was
            not pruned.

    Returns:
        Names by path; kernels that were not pruned are left out.

    Raises:
        UserError: If a path or name is unknown, missing or there twice, or if shapes
            differ.
    """
    for path in names:
        errors.one_of("a path of names", path, kernels)
    pairs: _Pairs = {}
    for path, shape in kernels.items():
        if path not in names:
            raise UserError(
                f"names has no tensor for {path!r}; give one of {', '.join(tensors)}, "
                "or None if it was not pruned."
            )
        if (given := names[path]) is None:
            continue
        name = given.removesuffix("_mask")
        errors.one_of(f"names[{path!r}] for {place}", name, tensors)
        if name in pairs.values():
            raise UserError(f"names has {name!r} for two kernels, {path!r} is one.")
        if tensors[name] != shape:
            problem = (
                f"the kernel {path!r} of shape {shape} does not fit {name!r}, which "
                f"has the shape {tensors[name]} here"
            )
            raise _refused(place, problem, kernels, tensors, pairs)
        pairs[path] = name
    return pairs


def by_rules(
    place: str, kernels: Mapping[str, Shape], tensors: Mapping[str, Shape]
) -> dict[str, str]:
    """The pairs that names, numbers in names, and shapes leave no doubt about.

    Returns:
        Names by path, for all kernels.

    Raises:
        UserError: If a pair is not certain, with both lists and the pairs that are.
    """
    theirs: dict[Shape, list[str]] = collections.defaultdict(list)
    for name, shape in tensors.items():
        theirs[shape].append(name)
    ours: dict[Shape, list[str]] = {shape: [] for shape in theirs}
    for path, shape in kernels.items():
        ours.setdefault(shape, []).append(path)
    pairs: _Pairs = {}
    for shape, paths in ours.items():
        pairs |= _of_one_shape(paths, theirs[shape])
    for shape, paths in ours.items():
        left = [path for path in paths if path not in pairs]
        others = [name for name in theirs[shape] if name not in pairs.values()]
        if left or others:
            problem = _not_certain(shape, left, others)
            raise _refused(place, problem, kernels, tensors, pairs)
    _check_layers(place, kernels, tensors, pairs)
    return {path: pairs[path] for path in kernels}


def _of_one_shape(paths: list[str], names: list[str]) -> _Pairs:
    """Those pairs of kernels and tensors of one shape that are certain."""
    ours, theirs = [*map(naming.parse, paths)], [*map(naming.parse, names)]
    if len(ours) != len(theirs):
        return {}
    pairs = new = _numbered(ours, theirs) or _by_words(ours, theirs)
    first = True
    while new or first:
        left, others = _left(ours, pairs), _left(theirs, pairs.values())
        common, other = _common(left), _common(others)
        new, first = {}, False
        # By elimination, unless the words of the two sides contradict each other.
        if not pairs or common <= other or other <= common:
            new = _numbered(left, others)
            new |= _by_words(_without(common, left), _without(other, others))
            pairs |= new
    return pairs


def _by_words(ours: list[Name], theirs: list[Name]) -> _Pairs:
    """Pairs layers by their words, those first that have a name of their own."""
    pairs: _Pairs = {}
    for step in (_named("pattern"), _named("words", "last"), _in_their_scope):
        pairs |= step(_left(ours, pairs), _left(theirs, pairs.values()))
    return pairs


def _left(names: list[Name], done: Collection[str]) -> list[Name]:
    return [name for name in names if name.text not in done]


def _common(names: list[Name]) -> frozenset[str]:
    """The words of all names: they tell none of them apart."""
    return frozenset.intersection(*(name.words for name in names)) if names else _NONE


def _without(words: frozenset[str], names: list[Name]) -> list[Name]:
    return [
        name._replace(words=name.words - words, last=name.last - words)
        for name in names
    ]


def _named(*parts: str) -> Callable[[list[Name], list[Name]], _Pairs]:
    """Makes the step that pairs layers whose own names have equal parts."""
    key = operator.attrgetter(*parts)

    def step(ours: list[Name], theirs: list[Name]) -> _Pairs:
        pairs: _Pairs = {}
        for value in dict.fromkeys(key(name) for name in ours if name.last):
            group, others = (
                [name for name in side if name.last and key(name) == value]
                for side in (ours, theirs)
            )
            pairs |= _numbered(group, others)
        return pairs

    return step


def _in_their_scope(ours: list[Name], theirs: list[Name]) -> _Pairs:
    """Pairs layers that are alone in what they are part of, the innermost first.

    ``encoder.0`` and ``encoder.2`` are ``encoder/Dense_0`` and ``encoder/Dense_1`` if
    no other tensor or kernel has an ``encoder`` in its name: one called ``encoder.in``
    might be the first of them.
    """
    pairs: _Pairs = {}
    for scope in sorted({name.words for name in ours}, key=len, reverse=True):
        group, others = (
            [name for name in _left(side, done) if name.words >= scope]
            for side, done in ((ours, pairs), (theirs, {*pairs.values()}))
        )
        pairs |= _numbered(group, others)
    return pairs


def _numbered(ours: list[Name], theirs: list[Name]) -> _Pairs:
    """Pairs names that are alike but for numbers, if these correspond.

    They do if they have the same ranks: 0, 2, 4 is 0, 1, 2. Numbers that all names of
    a side share do not count.
    """
    if len({name.pattern for name in ours}) != 1 or len(ours) != len(theirs):
        return {}
    if len({name.pattern for name in theirs}) != 1:
        return {}
    (labels, ranks), (other_labels, other_ranks) = _ranks(ours), _ranks(theirs)
    moved = [
        label
        for label, other in zip(labels, other_labels, strict=False)
        if label != other and (label in other_labels or other in labels)
    ]
    if moved or len({*ranks}) != len(ours) or {*ranks} != {*other_ranks}:
        return {}
    by_rank = dict(zip(other_ranks, theirs, strict=True))
    return {
        name.text: by_rank[rank].text for name, rank in zip(ours, ranks, strict=True)
    }


def _ranks(names: list[Name]) -> tuple[list[str], list[Shape]]:
    """The ranks of the numbers of each name, and the words before these numbers."""
    pattern = ("", *names[0].pattern)
    labels = [a for a, b in itertools.pairwise(pattern) if b == "#"]
    columns: dict[Shape, str] = {}
    numbers = zip(*(name.numbers for name in names), strict=True)
    for label, column in zip(labels, numbers, strict=True):
        values = sorted(set(column))
        if len(values) > 1:
            columns.setdefault(tuple(map(values.index, column)), label)
    rows = list(zip(*columns, strict=True)) or [()] * len(names)
    return list(columns.values()), rows


def _not_certain(shape: Shape, paths: list[str], names: list[str]) -> str:
    """Says which kernels and tensors of one shape are left."""
    if len(paths) != len(names):
        return (
            f"{words.counted(len(paths), 'kernel')} and "
            f"{words.counted(len(names), 'tensor')} have the shape {shape}: "
            f"{_listed(paths)}; {_listed(names)}"
        )
    return (
        f"it is not certain which of {_listed(names)} is which of {_listed(paths)}, "
        f"all of shape {shape}"
    )


def _check_layers(
    place: str,
    kernels: Mapping[str, Shape],
    tensors: Mapping[str, Shape],
    pairs: _Pairs,
) -> None:
    """Refuses pairs of unlike shapes that names speak against, as in another layout."""
    ours, theirs = [*map(naming.parse, pairs)], [*map(naming.parse, pairs.values())]
    named = list(
        zip(
            _without(_common(ours), ours),
            _without(_common(theirs), theirs),
            strict=True,
        )
    )
    if wrong := _crossed(named) or _exchangeable(named, tensors):
        first, second = wrong[0]
        done = {name.text for pair in wrong for name in pair}
        problem = (
            f"by their shapes {first.text!r} is {second.text!r}, which their names do "
            "not say, and another layout of the weights (see inputs_first) would "
            "exchange layers"
        )
        left = {a: b for a, b in pairs.items() if a not in done}
        raise _refused(place, problem, kernels, tensors, left)


def _crossed(pairs: list[tuple[Name, Name]]) -> list[tuple[Name, Name]]:
    """Pairs of which a name belongs to another, and numbers in another order."""
    wrong = []
    for side in (0, 1):
        others = {pair[1 - side].words for pair in pairs}
        wrong += [
            pair
            for pair in pairs
            if pair[side].words in others - {_NONE} and pair[0].words != pair[1].words
        ]
    for group in _alike(pairs):
        ours = [first.numbers for first, _ in group]
        theirs = [second.numbers for _, second in group]
        in_order = sorted(range(len(group)), key=ours.__getitem__)
        if in_order != sorted(range(len(group)), key=theirs.__getitem__):
            wrong += group
    return wrong


def _exchangeable(
    pairs: list[tuple[Name, Name]], tensors: Mapping[str, Shape]
) -> list[tuple[Name, Name]]:
    """Pairs of matrices [a, b] and [b, a] for which nothing but their shapes speaks."""
    counted = [pair for group in _alike(pairs) if len(group) > 1 for pair in group]
    unnamed = [
        pair
        for pair in pairs
        if (pair[0].words != pair[1].words or not pair[0].words)
        and pair[0].pattern != pair[1].pattern
        and pair not in counted
    ]
    shapes = {tensors[second.text] for _, second in unnamed}
    return [
        (first, second)
        for first, second in unnamed
        if len(shape := tensors[second.text]) == 2
        and shape != shape[::-1]
        and shape[::-1] in shapes
    ]


def _alike(pairs: list[tuple[Name, Name]]) -> list[list[tuple[Name, Name]]]:
    """Groups of pairs whose names are alike but for numbers, on both sides."""
    groups = collections.defaultdict(list)
    for pair in pairs:
        groups[pair[0].pattern, pair[1].pattern].append(pair)
    return list(groups.values())


def _listed(names: list[str]) -> str:
    few = [repr(name) for name in names[:4]]
    return ", ".join(few + ["..."] * (len(names) > 4)) or "none"


def _refused(
    place: str,
    problem: str,
    kernels: Mapping[str, Shape],
    tensors: Mapping[str, Shape],
    pairs: _Pairs,
) -> UserError:
    """Makes the error: its first line says what is wrong, the others what helps."""
    lines = [f"{place}: {problem}; complete these names and give them:", "names={"]
    free = [name for name in tensors if name not in pairs.values()]
    for path, shape in kernels.items():
        fitting = [name for name in free if tensors[name] == shape]
        note = "" if path in pairs else f"  # {shape}: {', '.join(fitting) or 'None'}"
        lines.append(f'    "{path}": "{pairs.get(path, "")}",{note}')
    left = ", ".join(f"{name} {tensors[name]}" for name in free)
    return UserError("\n".join([*lines, "}", f"Tensors without a kernel: {left}."]))
