"""The usual ways of doing the same durable work, written well; what is measured beside Boxoffice in the same run."""
