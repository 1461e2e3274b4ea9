"""A real Kafka broker for tests, benchmarks and laptops.

`python -m infra.kafka` runs one until Ctrl-C. Programs call `choice.bootstrap()`: it uses the broker that BOXOFFICE_KAFKA
names, else a container, else Apache Kafka's jars on the installed Java.
"""
