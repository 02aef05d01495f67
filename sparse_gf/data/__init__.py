"""Data sets: what they are, reading them, and augmenting batches of images."""

from sparse_gf.data.datasets import INFO, DatasetInfo, image_folder, info
from sparse_gf.data.load import load, where
from sparse_gf.data.part import stratified

__all__ = ["INFO", "DatasetInfo", "image_folder", "info", "load", "stratified", "where"]
