"""The embedded stack: real PostgreSQL and Redis from their wheels, SES from moto, everything on loopback."""
