"""What surrounds the functions: images, gateway, brokers, the local stack and the simulated provider."""
