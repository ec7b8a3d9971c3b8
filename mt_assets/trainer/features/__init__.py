"""From canonical frames to the matrices that estimators take."""
