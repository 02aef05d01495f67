"""Benchmarks: one command per target; ``python -m benchmarks`` runs all."""
