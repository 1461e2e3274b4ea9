"""The trigger: a consumer group of Kafka whose records become CloudEvents over HTTP to the doors.

    python -m shared_lib.workers.trigger            run until SIGTERM
    python -m shared_lib.workers.trigger --healthy  check the trigger of this machine; exit status 0 or 1

It keeps the promises of Knative's KafkaSource, so that what works here works in the cluster; docs/kafka.md compares them
point by point. A record passes through the modules in this order: `member` polls it, `partitions` queues it by key,
`envelope` turns it into a request, `delivery` posts that to its door over a `wire`, `letters` keeps a record that no door
takes, `tracker` knows which offset may be committed. `trigger` is the loop around them.
"""
