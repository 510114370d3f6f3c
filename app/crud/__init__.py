"""All SQL, one module per resource."""
