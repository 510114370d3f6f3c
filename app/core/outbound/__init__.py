"""Mail, and requests to other services."""
