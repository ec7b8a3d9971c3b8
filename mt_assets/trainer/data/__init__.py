"""Data: reading it, describing it, holding it to a schema, and drawing who is trained on and who is tested on.

Nothing here fits a model that is kept, and nothing here looks at a test row to decide anything but its split.
"""
