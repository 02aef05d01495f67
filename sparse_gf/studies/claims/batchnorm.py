"""What decides the claims of section 4.1.1 of the first paper: BatchNorm."""

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    ALIKE,
    BELOW,
    NOT_BETTER,
    NOT_WORSE,
)
from sparse_gf.studies.claims.mlps import (
    EWMA,
    HIGH,
    LOW,
    NON_EWMA,
    parts,
    variant_advantage,
    variant_changes,
    variant_gains,
)

PARTS = {
    "batchnorm.gain": parts(variant_gains("NR", "BN"), ABOVE, NON_EWMA),
    "batchnorm.favours": parts(
        variant_advantage(),
        ABOVE,
        NON_EWMA,
        (LOW, HIGH),
        ("BN", "DA_BN", "L2_BN", "SC_BN"),
    ),
    "plain.non_ewma.lose": parts(variant_advantage("NR"), BELOW, NON_EWMA),
    "plain.non_ewma.variants": parts(
        variant_advantage(),
        NOT_BETTER,
        NON_EWMA,
        names=("NR", "DA", "L2", "SC"),
    ),
    "plain.ewma.win": parts(variant_advantage("NR"), ABOVE, EWMA),
    "plain.ewma.hold": parts(variant_advantage("NR"), NOT_WORSE, EWMA),
    "batchnorm.ewma": parts(variant_gains("NR", "BN"), BELOW, EWMA),
    "batchnorm.ewma.close": parts(variant_advantage("BN"), NOT_WORSE, EWMA),
    "batchnorm.skips": parts(variant_changes("accuracy", "SC", "BN"), ABOVE),
    "batchnorm.with_skips": parts(
        variant_changes("accuracy", "BN", "SC_BN"), ALIKE, rates=(LOW, HIGH)
    ),
    "batchnorm.flow": parts(
        variant_changes("flow"),
        BELOW,
        names=("NR to BN", "L2 to L2_BN", "DA to DA_BN", "SC to SC_BN"),
    ),
}
