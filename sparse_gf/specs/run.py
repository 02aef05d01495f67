"""How a cell is run, which changes none of its numbers."""

import dataclasses

from sparse_gf import stats
from sparse_gf.core import errors

SAVED = frozenset({"", "last", "measured"})
DENSE_ARMS = frozenset({"auto", "padded", "narrow"})
LOGS = frozenset({"tensorboard", "wandb"})


@dataclasses.dataclass(frozen=True)
class RunSpec:
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
        save_masks: Whether the masks of networks under masks are written to files.
        save_networks: ``"last"``: networks are written to files after the last epoch;
            ``"measured"``: after every measured epoch; see ``network_files``.
        log: Which of ``LOGS`` are written at every measured epoch, with
            commas.
    """

    data_dir: str = ""
    dense_arm: str = "auto"
    networks_per_program: int = 0
    checkpoint_seconds: float = 10.0
    wilcoxon_method: str = "auto"
    wilcoxon_zeros: str = "wilcox"
    save_masks: bool = False
    save_networks: str = ""
    log: str = ""

    @property
    def logs(self) -> tuple[str, ...]:
        """The names in ``log``."""
        return tuple(name.strip() for name in self.log.split(",") if name.strip())

    def __post_init__(self):
        errors.one_of("config.dense_arm", self.dense_arm, DENSE_ARMS)
        errors.one_of("config.wilcoxon_method", self.wilcoxon_method, stats.METHODS)
        errors.one_of("config.wilcoxon_zeros", self.wilcoxon_zeros, stats.ZERO_METHODS)
        errors.in_range(
            "config.networks_per_program", self.networks_per_program, 0, None
        )
        errors.one_of("config.save_networks", self.save_networks, SAVED)
        for name in self.logs:
            errors.one_of("config.log", name, LOGS)
        errors.rate("config.checkpoint_seconds", self.checkpoint_seconds)
