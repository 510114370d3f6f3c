"""Background jobs: what they are, and what runs them; their rows are in `app/crud/job.py`."""
