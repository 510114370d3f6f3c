"""What `strata new resource` is made of: parse, check, render, edit, write."""
