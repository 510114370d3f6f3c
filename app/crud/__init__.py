"""All SQL, one module a resource."""
