"""fewtag puts a shop's products into a taxonomy when almost no labels exist."""

__version__ = "0.1.0"
