"""How a cell is run, which changes none of its numbers."""

import dataclasses

from sparse_gf import stats
from sparse_gf.core import errors
from sparse_gf.specs import fields

SAVED = frozenset({"", "last", "measured"})
DENSE_ARMS = frozenset({"auto", "padded", "narrow"})
LOGS = frozenset({"tensorboard", "wandb"})


@dataclasses.dataclass(frozen=True)
class RunSpec(fields.Spec):
    """How a cell is run; nothing here is part of the cell's identity.

    Attributes:
        data_dir: Folder or file of the data set; empty for the default source.
        dense_arm: ``"padded"`` trains dense networks as wide ones under block masks,
            ``"narrow"`` in programs of their own width, ``"auto"`` takes the cheaper.
            They agree to rounding.
        networks_per_program: Most networks trained at once, on all devices together;
            0 for as many as memory holds.
        checkpoint_seconds: Least time between checkpoints.
        wilcoxon_method: One of ``stats.METHODS``, for the table.
        wilcoxon_zeros: One of ``stats.ZERO_METHODS``, likewise.
        save_masks: Whether the masks of the networks are written to files.
        save_networks: ``"last"``: networks are written to files after the last epoch;
            ``"measured"``: after every measured epoch; see ``experiment.saved``.
        log: Which of ``LOGS`` are written at every measured epoch, with commas.
    """

    data_dir: str = ""
    dense_arm: str = fields.one_of("auto", DENSE_ARMS)
    networks_per_program: int = fields.at_least(0, 0)
    checkpoint_seconds: float = fields.rate(10.0)
    wilcoxon_method: str = fields.one_of("auto", stats.METHODS)
    wilcoxon_zeros: str = fields.one_of("wilcox", stats.ZERO_METHODS)
    save_masks: bool = False
    save_networks: str = fields.one_of("", SAVED)
    log: str = ""

    @property
    def logs(self) -> tuple[str, ...]:
        """The names in ``log``."""
        return tuple(name.strip() for name in self.log.split(",") if name.strip())

    def __post_init__(self):
        super().__post_init__()
        for name in self.logs:
            errors.one_of("config.log", name, LOGS)
