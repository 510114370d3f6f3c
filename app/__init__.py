"""Strata: a layered backend for single-page and mobile apps."""
