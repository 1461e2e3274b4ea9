"""What Boxoffice does per second, beside the usual ways of doing the same durable work. See docs/benchmarks.md."""
