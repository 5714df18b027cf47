"""Commands that the command line is put together from, a module a subject."""
