"""One file a dataset format; the file name is the `format` of a task's `data`."""
