"""What surrounds the functions: real servers, stand-ins for neighbours, stacks to run, the demo, the drill, and deployments."""
