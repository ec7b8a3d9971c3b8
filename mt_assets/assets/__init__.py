"""The graph: one module a phase. Here are wiring, metadata and checks; what is computed lies in `mt_assets.trainer`."""
