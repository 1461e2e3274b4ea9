"""Embedded servers from wheels on loopback: PostgreSQL, Redis, and moto as Amazon SES; each ends with the process that started it."""
