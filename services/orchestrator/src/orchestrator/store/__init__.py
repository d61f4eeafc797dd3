"""The event store: the one source of truth, on the `eventsourcing` library's recorders."""
