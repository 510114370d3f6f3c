"""asyncpg's connections, past SQLAlchemy's layers."""
