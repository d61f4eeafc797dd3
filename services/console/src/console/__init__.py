"""The console: what people and scripts use. It speaks NATS and nothing else to the system."""
