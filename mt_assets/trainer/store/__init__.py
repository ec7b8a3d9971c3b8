"""State: what was made, which of it is current, and who is at work. Nothing here knows what the values mean."""
