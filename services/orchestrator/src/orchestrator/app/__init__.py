"""The saga at work: batches in, decisions, one append, commands out."""
