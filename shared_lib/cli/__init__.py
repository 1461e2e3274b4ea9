"""The command line: looking, checking, repairing. Prints for people; decides nothing."""
