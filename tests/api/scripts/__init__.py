"""What clients do, a module for each tag: each has one coroutine `script(both)`, and users of its own."""
