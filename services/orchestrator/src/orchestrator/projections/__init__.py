"""The read side: an index over the log, rebuilt at will, views of folded states, and the queries."""
