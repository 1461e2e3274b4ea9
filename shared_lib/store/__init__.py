"""Pipes to PostgreSQL: tables and migrations, transactions, the coalescer, rows, outbox and inbox."""
