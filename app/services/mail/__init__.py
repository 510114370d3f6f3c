"""What is mailed, and when."""
