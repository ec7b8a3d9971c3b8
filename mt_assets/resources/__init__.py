"""What the graph works with: the store of each model, the tracker."""
