"""Claims of section 4.1.1 of the first paper: BatchNorm."""

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
    HIGH_TABLES,
    LOW,
    LOW_TABLES,
    NON_EWMA,
    claim,
    parts,
    variant_advantage,
    variant_changes,
    variant_gains,
)

CLAIMS = (
    claim(
        "batchnorm.gain",
        "4.1.1; Table 3a",
        "Under Adagrad, SGD and momentum, BatchNorm raises the accuracy of sparse "
        "networks by more than that of dense ones of equal size.",
        studies=LOW_TABLES,
        parts=parts(variant_gains("NR", "BN"), ABOVE, NON_EWMA),
        published="CIFAR-100, p from NR to BN: Adagrad 1.000 to 0.006, SGD 1.000 to "
        "0.000, Mom 1.000 to 0.001",
        note="The paper says it of these three optimizers; see batchnorm.ewma for Adam "
        "and RMSProp.",
    ),
    claim(
        "batchnorm.favours",
        "4.1.1; Tables 3a, 3b",
        "With BatchNorm, under Adagrad, SGD and momentum, sparse networks beat dense "
        "ones at both rates in most variants.",
        studies=("table3a", "table5a", *HIGH_TABLES),
        parts=parts(
            variant_advantage(),
            ABOVE,
            NON_EWMA,
            (LOW, HIGH),
            ("BN", "DA_BN", "L2_BN", "SC_BN"),
        ),
        holds="most",
        published="CIFAR-100: p < 0.05 in 22 of 24 cells; the others are L2_BN at 0.1 "
        "(Adagrad 0.963, Mom 0.488)",
    ),
    claim(
        "plain.non_ewma.lose",
        "4.1.1; Table 3a",
        "Without BatchNorm, plain sparse networks lose against dense ones under "
        "Adagrad, SGD and momentum.",
        studies=LOW_TABLES,
        parts=parts(variant_advantage("NR"), BELOW, NON_EWMA),
        published="CIFAR-100, NR: p 1.000 for all three",
        note="The paper's text says that they do not outperform dense ones; its "
        "p-values of 1 say that they lose.",
    ),
    claim(
        "plain.non_ewma.variants",
        "4.1.1; Table 3a",
        "Without BatchNorm, plain or with augmentation, L2 or skips, sparse networks "
        "do not outperform dense ones under Adagrad, SGD and momentum.",
        studies=LOW_TABLES,
        parts=parts(
            variant_advantage(),
            NOT_BETTER,
            NON_EWMA,
            names=("NR", "DA", "L2", "SC"),
        ),
        published="CIFAR-100: p from 0.239 to 1.000 in 12 cells; on CIFAR-10 SGD with "
        "SC has 0.000, against the claim",
        note="Not better by a percentage point.",
    ),
    claim(
        "plain.ewma.win",
        "4.1.1; Table 3a",
        "Without BatchNorm, plain sparse networks beat dense ones under Adam and "
        "RMSProp.",
        studies=LOW_TABLES,
        parts=parts(variant_advantage("NR"), ABOVE, EWMA),
        published="NR: CIFAR-100 Adam 0.000, RMSProp 0.001; CIFAR-10 0.024, 0.000; "
        "Fashion-MNIST Adam 0.170",
        note="The paper points to NR in Tables 3a and 3b; Table 3b has no NR.",
    ),
    claim(
        "plain.ewma.hold",
        "4.1.1; Tables 3a, 4, 5a",
        "Without BatchNorm, plain sparse networks do not lose under Adam and RMSProp.",
        studies=LOW_TABLES,
        parts=parts(variant_advantage("NR"), NOT_WORSE, EWMA),
        published="as plain.ewma.win",
        note="Its weaker reading: not worse by a percentage point.",
    ),
    claim(
        "batchnorm.ewma",
        "4.1.1; Table 3a",
        "Under Adam and RMSProp, BatchNorm takes from sparse networks what they were "
        "ahead: dense ones gain more.",
        studies=LOW_TABLES,
        parts=parts(variant_gains("NR", "BN"), BELOW, EWMA),
        published="CIFAR-100, p from NR to BN: Adam 0.000 to 0.079, RMSProp 0.001 to "
        "0.117; on Fashion-MNIST Adam goes the other way, 0.170 to 0.020",
    ),
    claim(
        "batchnorm.ewma.close",
        "4.1.1; Table 3a; Figure 2",
        "With BatchNorm, under Adam and RMSProp, sparse networks are about as good as "
        "dense ones or slightly better.",
        studies=LOW_TABLES,
        parts=parts(variant_advantage("BN"), NOT_WORSE, EWMA),
        published="CIFAR-100, BN: Adam 0.079, RMSProp 0.117",
        note="Not worse by a percentage point.",
    ),
    claim(
        "batchnorm.skips",
        "4.1.1; Figures 2a, 2c",
        "BatchNorm gives a higher accuracy than skip connections.",
        studies=LOW_TABLES,
        parts=parts(variant_changes("accuracy", "SC", "BN"), ABOVE),
        published="figures",
        note="Both arms. There are no networks with skips alone at 0.1.",
    ),
    claim(
        "batchnorm.with_skips",
        "4.1.1; Figures 2a, 2c",
        "Skip connections on top of BatchNorm change the accuracy little.",
        studies=("table3a", "table6a", *HIGH_TABLES),
        parts=parts(
            variant_changes("accuracy", "BN", "SC_BN"), ALIKE, rates=(LOW, HIGH)
        ),
        published="figures",
        note="Both arms, within a percentage point.",
    ),
    claim(
        "batchnorm.flow",
        "4.1.1; Figures 2b, 2d",
        "BatchNorm lowers EGF, whatever it is added to, under all optimizers.",
        studies=LOW_TABLES,
        parts=parts(
            variant_changes("flow"),
            BELOW,
            names=("NR to BN", "L2 to L2_BN", "DA to DA_BN", "SC to SC_BN"),
        ),
        published="figures",
        note="Both arms. The paper also says more stable, without a measure of it. "
        "There are no networks without BatchNorm at 0.1.",
    ),
)
