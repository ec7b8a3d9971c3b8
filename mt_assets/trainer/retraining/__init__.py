"""When a model is to be trained again: what has changed, and what is made of it."""
