"""The story of `make demo`: customers over real HTTP, and the money counted at the end. Runs on any stack."""
