"""Task files of the family depth."""
