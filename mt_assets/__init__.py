"""A model trainer made of Dagster assets: a short training spec in, a tested and registered model out."""

__version__ = "0.2.0"
