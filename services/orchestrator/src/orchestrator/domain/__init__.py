"""The saga's decisions: pure functions of state, message and time."""
