"""Which masks a network gets, and when."""

import dataclasses
import itertools
import math
import re
from collections.abc import Collection
from typing import Any, ClassVar

from sparse_gf import activations, budgets
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.specs import fields
from sparse_gf.training import criteria, logits, pruning


def rounds_of_20_percent(wanted: Collection[float]) -> tuple[float, ...]:
    """Densities after rounds that prune 20% each, and those wanted, in falling order.

    A round that ends at a wanted density, within a thousandth of it, is that density's.
    """
    rounds = itertools.takewhile(
        lambda density: density > min(wanted), (0.8**e for e in itertools.count(1))
    )
    others = {
        density
        for density in rounds
        if not any(math.isclose(density, own, rel_tol=1e-3) for own in wanted)
    }
    return tuple(sorted({*others, *wanted}, reverse=True))


def _densities(place: str, value: Any) -> tuple[float, ...]:
    """A number, or a tuple of them."""
    given = value if isinstance(value, tuple) else (value,)
    return fields.typed(place, given, tuple[float, ...])


_MOST_ROUNDS = 10_000
_LARGEST_GROUP = 1024
"""M of a pattern N:M at most."""


@dataclasses.dataclass(frozen=True)
class MaskSpec(fields.Spec):
    """Which weights of a network are active, and when they are chosen.

    Attributes:
        method: One of ``criteria.PROTOCOLS``, or ``"file"``; or of one's own a function
            of a ``criteria.Subject``, its registered name, or ``"MODULE:NAME"``.
        schedule: One of ``pruning.METHODS``: ``"init"``, before training;
            ``"ticket"``: lottery tickets, masks that an iterative pruning (``"imp"``)
            of the plain network ends with, trained from its initial weights.
        density: Active over all weights of the layers that are pruned, for each network
            of a seed. Not looked at where a file, ``num_active`` or a pattern says it;
            empty for ``"imp"``: rounds of 20% to 0.8^15.
        distribution: One of ``budgets.DISTRIBUTIONS``, a pattern such as ``"2:4"``, or
            empty for the method's own.
        num_active: Active weights of each layer, in the order of their paths (in the
            package's models the forward order), in place of a density.
        dense_layers: Paths of kernels that are not pruned.
        file: A mask file; ``{seed}`` in it stands for the network's seed.
        digest: Of the file's masks; found by itself.
        rounds: Of a method at ``"init"``; 0 for the protocol's.
        examples: Likewise.
        batch_norm: ``"train"`` or ``"eval"``; empty for the protocol's.
        temperature: 0 for the protocol's.
        start_epoch: ``"one_shot"``: the last before pruning, 0 for half of all;
            ``"gradual"``: after which pruning begins.
        end_epoch: After which masks change no more; 0 for three quarters of all.
        every: Steps between changes (``"gradual"``, ``"set"``, ``"rigl"``).
        drop: Share of a layer's active weights that moves at first (``"set"``,
            ``"rigl"``).
        rewind_epoch: To whose end ``"imp"`` goes back; 0 for the initial weights.
        search: Densities after the rounds of the search for tickets; empty for rounds
            of 20% and all densities that are wanted.
        search_activation: Of the network that is searched; empty for the cell's own.
    """

    PLACE: ClassVar[str] = "config.mask"

    method: str = fields.own("random", criteria.OWN.named)
    schedule: str = fields.one_of("init", set(pruning.METHODS))
    density: tuple[float, ...] = fields.ruled((1.0, 0.1), _densities)
    distribution: str = ""
    num_active: tuple[int, ...] = ()
    dense_layers: tuple[str, ...] = ()
    file: str = ""
    digest: str = ""
    rounds: int = fields.at_least(0, 0, most=_MOST_ROUNDS)
    examples: int = fields.at_least(0, 0)
    batch_norm: str = fields.one_of("", {"", *logits.MODES})
    temperature: float = fields.rate(0.0)
    start_epoch: int = fields.at_least(0, 0)
    end_epoch: int = fields.at_least(0, 0)
    every: int = fields.at_least(100, 1)
    drop: float = fields.rate(0.3, below=1.0)
    rewind_epoch: int = fields.at_least(0, 0)
    search: tuple[float, ...] = ()
    search_activation: str = fields.own("", activations.OWN.named)

    def __post_init__(self):
        super().__post_init__()
        self._check_density()
        if not self.distribution:
            own = "" if self.method == "file" else self.protocol.distribution
            self._derive("distribution", own)
        elif self.pattern is None:
            names = {*budgets.DISTRIBUTIONS, "2:4"}
            errors.one_of("config.mask.distribution", self.distribution, names)
        self._check_magnitude()
        self._check_search()

    def identity(self) -> dict[str, Any]:
        """As for every spec; the same masks in another place are the same."""
        return {k: v for k, v in super().identity().items() if k != "file"}

    @property
    def pattern(self) -> tuple[int, int] | None:
        """(N, M) of an N:M pattern."""
        found = re.fullmatch(r"(\d+):(\d+)", self.distribution)
        if not found:
            return None
        n, m = map(int, found.groups())
        if not 1 <= n <= m <= _LARGEST_GROUP:
            raise UserError(
                f"config.mask.distribution is {self.distribution!r}; a pattern is N:M "
                f"with 1 <= N <= M <= {_LARGEST_GROUP}."
            )
        return n, m

    @property
    def protocol(self) -> criteria.Protocol:
        """The method's protocol, with what the config changes of it."""
        named = criteria.protocol_of(self.method)
        changes: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("rounds", "examples", "batch_norm", "temperature")
            if getattr(self, name)
        }
        return dataclasses.replace(named, **changes)

    def _check_magnitude(self) -> None:
        """What is pruned in training is pruned by magnitude."""
        in_training = ("one_shot", "gradual", "imp", "ticket")
        if self.schedule in in_training and self.method != "magnitude":
            raise UserError(
                f"config.mask.method is {self.method!r}; with config.mask.schedule "
                f"{self.schedule!r} it must be 'magnitude'."
            )
        if self.schedule in in_training and (self.pattern or self.num_active):
            raise UserError(
                f"config.mask.schedule is {self.schedule!r}, which needs densities; "
                "patterns and num_active are for masks made before training."
            )

    def _check_search(self) -> None:
        """Completes the densities that tickets are searched at."""
        if self.schedule != "ticket":
            if self.search or self.search_activation:
                raise UserError(
                    f"config.mask.schedule is {self.schedule!r}; config.mask.search "
                    "and search_activation are for 'ticket'."
                )
            return
        wanted = {density for density in self.density if density < 1}
        if not wanted or self.rewind_epoch:
            raise UserError(
                f"config.mask.schedule is 'ticket', with density {self.density!r} and "
                f"rewind_epoch {self.rewind_epoch}; tickets have densities below 1 and "
                "start from the initial weights."
            )
        given = tuple(map(float, self.search)) or rounds_of_20_percent(wanted)
        if not wanted <= set(given) or max(given) >= 1 or min(given) <= 0:
            raise UserError(
                f"config.mask.search is {given!r}; its values must be above 0 and "
                f"below 1, those of config.mask.density among them."
            )
        completed = tuple(sorted(set(given), reverse=True))
        (self._spell if self.search else self._derive)("search", completed)

    def _check_density(self) -> None:
        density = self.density
        if self.file:
            errors.one_of(
                "config.mask.method with a file", self.method, {"random", "file"}
            )
            self._spell("method", "file")
        elif self.method == "file":
            raise UserError(
                "config.mask.method is 'file', but config.mask.file is empty."
            )
        if self.file or self.num_active or self.pattern:
            density = ()
        elif self.schedule == "imp" and not density:
            density = tuple(0.8**e for e in range(16))
        elif not density:
            raise UserError(
                "config.mask.density is empty; give densities, num_active, a pattern "
                "such as 2:4 as distribution, or a file."
            )
        self._spell("density", density)
        if any(not 0 < density <= 1 for density in self.density):
            raise UserError(
                f"config.mask.density is {self.density!r}; every value must be above 0 "
                "and at most 1 (0.1 keeps 10% of the weights)."
            )
        if len(set(self.density)) != len(self.density):
            raise UserError(
                f"config.mask.density is {self.density!r}; its values must be distinct."
            )
        if self.schedule == "imp" and list(self.density) != sorted(
            self.density, reverse=True
        ):
            raise UserError(
                f"config.mask.density is {self.density!r}; for 'imp' it must fall."
            )
