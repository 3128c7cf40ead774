"""librdkafka as a peer: records per second, and per second of this process's processor time.

    librdkafka_peer.py produce|consume HOST:PORT TOPIC RECORDS

Values of 100 bytes on 4 partitions; acks=all, idempotent, linger 5 ms, batches of 1 MB.
Prints one line of JSON. Deletes its topic.
"""

import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
VALUE = bytes(97 + index * 7 % 26 for index in range(100))


def fill(bootstrap, topic, records):
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 5,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 1_048_576,
    })
    produce, poll = producer.produce, producer.poll
    for number in range(records):
        while True:
            try:
                produce(topic, VALUE, partition=number >> 10 & PARTITIONS - 1)
                break
            except BufferError:
                poll(0.01)
    if producer.flush(120) > 0:
        sys.exit("not every record was acknowledged")


def drain(bootstrap, topic, records):
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": topic,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    })
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    seen, last = 0, time.monotonic()
    while seen < records:
        messages = consumer.consume(10_000, 0.1)
        for message in messages:
            if message.error() is not None:
                sys.exit(str(message.error()))
            message.value()
        seen += len(messages)
        if messages:
            last = time.monotonic()
        elif time.monotonic() - last > 30:
            sys.exit(f"only {seen} of {records} records came")
    consumer.close()


def main():
    way, bootstrap, topic, records = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    try:
        fill(bootstrap, topic, records // 5 if way == "produce" else records)
        begin, spent = time.monotonic(), time.process_time()
        (fill if way == "produce" else drain)(bootstrap, topic, records)
        took, spent = time.monotonic() - begin, time.process_time() - spent
    finally:
        admin.delete_topics([topic])[topic].result(30)
    print(json.dumps({
        "records_per_s": round(records / took, 1),
        "records_per_cpu_s": round(records / spent, 1),
    }))


if __name__ == "__main__":
    main()
