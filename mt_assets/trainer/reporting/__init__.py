"""What leaves the trainer: the result, and what a tracker is told. Nothing here computes a figure of its own."""
