"""Forecasting: series, forecasters, rolling origins and intervals. What is shared with tables (the search, the
ensemble's selection, the store) is not here."""
