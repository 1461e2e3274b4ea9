"""Every decision, as a pure value or table. Imports the standard library and msgspec alone; time is an argument."""
