"""Learning algorithms, one small module each, found through `registry`. Light to import."""
