"""A laboratory for sparse-network training in JAX.

    import sparse_gf as sg

    kept = sg.masks.random(key, params, sg.budgets.uniform(params, density=0.1))
    flow = sg.gradient_flow.measure(loss_fn, params, kept)

The modules below are the library; each is imported when it is first used. The commands
are ``python -m sparse_gf.main``, ``sweep``, ``report``, ``analyse``, ``mask_report``
and ``doctor``.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparse_gf import activations as activations
    from sparse_gf import aggregate as aggregate
    from sparse_gf import analyses as analyses
    from sparse_gf import budgets as budgets
    from sparse_gf import curvature as curvature
    from sparse_gf import data as data
    from sparse_gf import ensemble as ensemble
    from sparse_gf import experiment as experiment
    from sparse_gf import gradient_flow as gradient_flow
    from sparse_gf import initializers as initializers
    from sparse_gf import lab as lab
    from sparse_gf import layers as layers
    from sparse_gf import losses as losses
    from sparse_gf import masks as masks
    from sparse_gf import models as models
    from sparse_gf import network_files as network_files
    from sparse_gf import optimizers as optimizers
    from sparse_gf import reporting as reporting
    from sparse_gf import results as results
    from sparse_gf import schedules as schedules
    from sparse_gf import scores as scores
    from sparse_gf import specs as specs
    from sparse_gf import stats as stats
    from sparse_gf import studies as studies
    from sparse_gf import training as training
    from sparse_gf import transforms as transforms
    from sparse_gf.lab import compare as compare
    from sparse_gf.lab import sweep as sweep


__version__ = importlib.metadata.version("sparse_gf")

__all__ = [
    "activations",
    "aggregate",
    "analyses",
    "budgets",
    "compare",
    "curvature",
    "data",
    "ensemble",
    "experiment",
    "gradient_flow",
    "initializers",
    "lab",
    "layers",
    "losses",
    "masks",
    "models",
    "network_files",
    "optimizers",
    "reporting",
    "results",
    "schedules",
    "scores",
    "specs",
    "stats",
    "studies",
    "sweep",
    "training",
    "transforms",
]


def __getattr__(name: str) -> Any:
    """Imports a module of the library, or a function of ``lab``, when asked for."""
    if name in ("compare", "sweep"):
        return getattr(importlib.import_module(f"{__name__}.lab"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
