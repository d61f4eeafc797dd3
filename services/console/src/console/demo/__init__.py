"""The demo: the example order on a stack of its own, and proofs that ask the real parts what is true."""
