"""The recipes by which the embedded weights are made: never part of the package, and each a command that makes them anew."""
