"""Every decision, as a pure value or table. Imports the standard library alone; time is an argument."""
