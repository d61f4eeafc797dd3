"""The ground that every Stagewright service stands on: contracts, messaging, errors, ids and settings."""

__version__ = "0.1.0"
