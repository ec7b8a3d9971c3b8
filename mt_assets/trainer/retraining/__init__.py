"""When a model is trained again: what was seen of the data, what follows from it, and what was decided before."""
