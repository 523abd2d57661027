"""The commands: their arguments, flags and help, a file a group; what they print is in `ltbench.cli`'s other modules."""
