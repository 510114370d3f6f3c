"""What DATABASE_URL says."""
