"""The stack of `make up`: every function and worker as a process on loopback, with embedded servers and stand-ins."""
