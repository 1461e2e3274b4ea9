"""The command line: inspect, check, repair. Prints for people; contains no business rules."""
