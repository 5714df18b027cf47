"""What can be asked of a scene and how it is worded: one file a group of families."""
