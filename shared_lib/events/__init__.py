"""CloudEvents: received, verified, and sent."""
