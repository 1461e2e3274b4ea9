"""The stack of `make up_all`: containers on Kafka behind NGINX, run through Docker Compose; standard library only."""
