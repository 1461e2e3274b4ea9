"""A real Kafka broker for tests, benchmarks and laptops.

`python -m infra.kafka` runs one until Ctrl-C. Whoever needs one in a program asks `choice.bootstrap()`: it takes the broker that
BOXOFFICE_KAFKA names, else a container, else Apache Kafka's own jars on the Java that is installed.
"""
