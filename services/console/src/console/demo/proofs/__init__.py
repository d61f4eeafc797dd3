"""One module for each part that is asked. None of them asks the application."""
