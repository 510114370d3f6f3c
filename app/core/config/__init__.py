"""What the environment and `.env` set."""
