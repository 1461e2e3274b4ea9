"""Boxoffice on Kubernetes: the files that follow from others, and a kind cluster of one's own."""
