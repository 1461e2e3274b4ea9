"""The trigger: a consumer group of Kafka whose records become CloudEvents over HTTP to the doors.

    python -m shared_lib.workers.trigger            run until told to stop
    python -m shared_lib.workers.trigger --healthy  ask the one that runs here; exit status 0 or 1

It keeps the promises of Knative's KafkaSource, so that what works here works in the cluster; docs/kafka.md compares them
point by point. A record walks through the modules in this order: `member` polls it, `claims` queues it by key,
`envelope` makes a request of it, `delivery` brings it to its door
over a `wire`, `letters` keeps what no door takes, `tracker` knows
what may be committed. `trigger` is the loop around them.
"""
