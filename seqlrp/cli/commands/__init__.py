"""The commands of the program, one in each module."""
