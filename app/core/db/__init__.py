"""How Strata talks to PostgreSQL and SQLite."""
