"""Mail and HTTP requests to other services."""
