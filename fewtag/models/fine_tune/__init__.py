"""The rung for categories with many labels."""
