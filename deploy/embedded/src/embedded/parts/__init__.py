"""The parts of the one-machine stack: each module builds one `Program` and does nothing else."""
