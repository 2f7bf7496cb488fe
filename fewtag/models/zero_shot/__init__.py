"""The rung for categories without a label: their own words, the catalogue, and a language model where one is configured."""
