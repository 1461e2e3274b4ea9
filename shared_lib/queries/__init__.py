"""Read-only questions to the database: one consistent state each, no locks and no writes."""
