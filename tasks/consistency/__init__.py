"""Task files of the family spatial_qa."""
