"""Looking at the real parts with the settings' own addresses: what `doctor` and the demo's proofs ask."""
