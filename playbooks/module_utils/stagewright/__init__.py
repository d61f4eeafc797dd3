"""What the modules share. Standard library only: it runs on the managed servers."""
