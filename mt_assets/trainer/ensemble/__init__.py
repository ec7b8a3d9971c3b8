"""Several candidates as one model: which ones with what weight, and the estimator that they become."""
