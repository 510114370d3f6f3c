"""Whether connections to PostgreSQL are alive, whoever has them: SQLAlchemy or the driver."""
