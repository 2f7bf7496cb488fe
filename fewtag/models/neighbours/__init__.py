"""The rung that spreads labels to products near by."""
