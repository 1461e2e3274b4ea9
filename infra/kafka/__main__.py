"""Run a broker in the foreground until Ctrl-C.

python -m infra.kafka [--port 9092]
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from infra.kafka.choice import own_broker
from infra.kafka.jars import NoKafkaError
from infra.servers.ports import NotReadyError
from shared_lib.visible import say
from shared_lib.workers import topics


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.kafka", description=__doc__)
    parser.add_argument("--port", type=int, default=9092)
    port: int = parser.parse_args().port
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with own_broker(port=port) as broker:
            topics.create([broker.bootstrap])
            say(
                f"Kafka answers on {broker.bootstrap} with the topics of Boxoffice. Ctrl-C stops it and removes its data."
            )
            say(f"  export BOXOFFICE_KAFKA_BOOTSTRAP={broker.bootstrap}   # the relay writes to it")
            say(
                f"  export BOXOFFICE_KAFKA={broker.bootstrap}             # tests and benchmarks use it",
            )
            while broker.running:
                time.sleep(0.5)
            say("Kafka stopped unexpectedly.", sys.stderr)
            return 1
    except KeyboardInterrupt:
        return 0
    except (NoKafkaError, NotReadyError) as error:
        say(error, sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
