"""The story of `make demo`: customers over real HTTP on any stack, and a table that compares the money at the end."""
