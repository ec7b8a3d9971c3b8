"""The search for the best candidate: durable fold results below, an Optuna study above."""
