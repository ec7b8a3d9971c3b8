"""The forecasters, one module each, found through `mt_assets.trainer.algorithms.registry`."""
