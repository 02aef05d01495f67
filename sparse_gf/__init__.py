"""A laboratory for sparse-network training in JAX."""
