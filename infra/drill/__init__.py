"""The drill of `make kills`: a load of customers while parts of the stack are killed, and the count of what was lost."""
