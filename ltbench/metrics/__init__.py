"""Metrics: pure functions of features, and the registry that says what each needs and means."""
