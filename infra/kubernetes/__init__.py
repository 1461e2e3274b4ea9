"""The stack of `make kind_up`: a kind cluster in four stages, and the files of k8s/ that are generated from others."""
