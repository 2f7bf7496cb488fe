"""The rung for categories with a few labels."""
