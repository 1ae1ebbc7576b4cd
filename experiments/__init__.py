"""One module a task: flags, and a docstring that says what to expect."""
