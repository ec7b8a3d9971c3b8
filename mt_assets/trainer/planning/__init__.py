"""Every automatic choice of a run, made by rules that a person can read and recorded with its reason."""
