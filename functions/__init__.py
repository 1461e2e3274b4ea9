"""The doors. Each folder is one function: read its main.py from the top."""
