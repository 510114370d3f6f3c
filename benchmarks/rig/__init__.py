"""What `load.py` is made of: a database to throw away, servers, requests, a load generator, and a report."""
