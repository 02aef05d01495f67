"""Curvature of the loss of any network: Hessian products, spectrum, trace, density.

    from sparse_gf import curvature
    pairs = curvature.top_eigenpairs(loss_fn, params, masks, num=5, key=key)
    sharpness, direction = pairs.values[0], pairs.vectors

``loss_fn(params)`` is the mean loss per example; ``masks`` say which weights make the
space in which the Hessian is taken, None all of them; a ``key`` is consumed.
BatchNorm's mode is what ``loss_fn`` makes of it. In evaluation and in training:

    state, batch_stats = {"batch_stats": variables["batch_stats"]}, ["batch_stats"]
    evaluated = lambda p: loss(model.apply({"params": p} | state, x, train=False))
    trained = lambda p: loss(
        model.apply({"params": p} | state, x, train=True, mutable=batch_stats)[0]
    )

PyHessian (Yao et al. 2020) always evaluates. In training the statistics of a batch are
functions of the weights, and differentiated as such; the mean over batches then depends
on the batches. For more examples than fit, ``mean_over_batches``. Everything is
for one network, and can be mapped over members and compiled.
"""

from sparse_gf.curvature.batches import BatchedLoss as BatchedLoss
from sparse_gf.curvature.batches import in_batches as in_batches
from sparse_gf.curvature.batches import mean_over_batches as mean_over_batches
from sparse_gf.curvature.hessian import hessian_vector_product as hessian_vector_product
from sparse_gf.curvature.spectrum import Eigenpairs as Eigenpairs
from sparse_gf.curvature.spectrum import SpectralDensity as SpectralDensity
from sparse_gf.curvature.spectrum import TraceEstimate as TraceEstimate
from sparse_gf.curvature.spectrum import estimate_trace as estimate_trace
from sparse_gf.curvature.spectrum import spectral_density as spectral_density
from sparse_gf.curvature.spectrum import top_eigenpairs as top_eigenpairs
from sparse_gf.curvature.spectrum import top_eigenvalues as top_eigenvalues
from sparse_gf.curvature.spectrum import trace as trace
