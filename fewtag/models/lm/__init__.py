"""How likely a language model finds each of many labels behind one prompt."""
