"""The drill of `make kills`: kill each part in turn under a load of orders, and count what was lost or doubled."""
