"""Use cases that span crud modules or talk to the outside world."""
