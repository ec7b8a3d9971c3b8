"""Where tables come from, one small module for each kind of file or place.

What belongs here: from a name to files, and from a file or a query to an Arrow table. What does not: joining several
files and fingerprints (`reading`), and the types of text columns (`column_typing`).
"""
