"""When something fails: what happened, why, and what to do. Nothing here decides what is trained."""
