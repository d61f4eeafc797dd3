"""Whether this machine and installation have what they need, and what to do where they have not."""
