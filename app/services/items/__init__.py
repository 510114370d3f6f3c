"""What items need beyond their table."""
