"""Real servers from wheels on loopback: PostgreSQL, Redis, and moto as Amazon SES. Each ends with the process that started it."""
