"""confluent-kafka (librdkafka)."""

import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from cases import RECENT, case, equal, unique, wait_for

SECONDS_MAX = 20


def admin(bootstrap):
    return AdminClient({"bootstrap.servers": bootstrap})


def results(futures):
    return {name: future.result(SECONDS_MAX) for name, future in futures.items()}


def topic(bootstrap, partitions=1, **config):
    name = unique("confluent")
    new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
    # The client must outlive its futures, or they end with "handle is terminating".
    client = admin(bootstrap)
    results(client.create_topics([new]))
    return name


def producer(bootstrap, **config):
    settings = {"bootstrap.servers": bootstrap, "linger.ms": 5}
    settings.update({key.replace("_", "."): value for key, value in config.items()})
    return Producer(settings)


def produce(bootstrap, name, values, **config):
    """Produces the values to partition 0 in order and returns the offsets they were given."""
    offsets, errors = [], []

    def delivered(error, message):
        errors.append(error) if error else offsets.append(message.offset())

    sender = producer(bootstrap, **config)
    for value in values:
        sender.produce(name, value=value, key=b"k", partition=0, on_delivery=delivered)
    sender.flush(SECONDS_MAX)
    equal(errors, [], "delivery errors")
    equal(len(offsets), len(values), "deliveries")
    return offsets


def consumer(bootstrap, group=None, **config):
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": group or unique("nobody"),
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    settings.update({key.replace("_", "."): value for key, value in config.items()})
    return Consumer(settings)


def take(reader, count):
    """The next records, no more than asked for."""
    taken = []
    end = time.monotonic() + SECONDS_MAX
    while len(taken) < count:
        message = reader.poll(0.2)
        if message is None:
            if time.monotonic() > end:
                raise AssertionError(f"{len(taken)} of {count} records within {SECONDS_MAX} s")
        elif message.error():
            raise KafkaException(message.error())
        else:
            taken.append(message)
    return taken


def read(bootstrap, name, count, offset=OFFSET_BEGINNING, **config):
    reader = consumer(bootstrap, **config)
    reader.assign([TopicPartition(name, 0, offset)])
    taken = take(reader, count)
    reader.close()
    return taken


def values_of(messages):
    return [message.value() for message in messages]


def numbered(count, size=100):
    return [str(i).encode().ljust(size, b".") for i in range(count)]


def round_trip(codec):
    def function(bootstrap):
        name = topic(bootstrap)
        values = numbered(2000)
        offsets = produce(bootstrap, name, values, compression_type=codec)
        equal(offsets, list(range(2000)), "offsets")
        equal(values_of(read(bootstrap, name, 2000)), values, "values")

    return function


for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    case(f"confluent-kafka: produce {codec}")(round_trip(codec))


@case("confluent-kafka: produce idempotent")
def idempotent(bootstrap):
    name = topic(bootstrap)
    values = numbered(5000)
    produce(bootstrap, name, values, enable_idempotence=True)
    equal(values_of(read(bootstrap, name, 5000)), values, "values")


@case("confluent-kafka: produce acks 0 and 1")
def acks(bootstrap):
    name = topic(bootstrap)
    for acks in ["0", "1"]:
        sender = producer(bootstrap, acks=acks)
        for value in numbered(100):
            sender.produce(name, value=value, partition=0)
        sender.flush(SECONDS_MAX)
    equal(len(read(bootstrap, name, 200)), 200, "records")


@case("confluent-kafka: keys, headers and timestamps")
def facts(bootstrap):
    name = topic(bootstrap)
    headers = [("a", b"1"), ("b", None), ("a", b"2"), ("", b"")]
    sender = producer(bootstrap)
    stamp = RECENT + 123
    sender.produce(name, value=b"v", key=b"k", headers=headers, timestamp=stamp)
    sender.produce(name, value=None, key=b"k")
    sender.produce(name, value=b"", key=None)
    sender.flush(SECONDS_MAX)
    first, second, third = read(bootstrap, name, 3)
    equal(first.headers(), headers, "headers")
    equal(first.timestamp()[1], stamp, "timestamp")
    equal((second.key(), second.value()), (b"k", None), "tombstone")
    equal((third.key(), third.value()), (None, b""), "empty value")


@case("confluent-kafka: too large a record is refused")
def too_large(bootstrap):
    name = topic(bootstrap, **{"max.message.bytes": "1000"})
    told = []
    sender = producer(bootstrap)
    sender.produce(name, b"x" * 5000, on_delivery=lambda error, _: told.append(error))
    sender.flush(SECONDS_MAX)
    equal([error.code() for error in told], [KafkaError.MSG_SIZE_TOO_LARGE], "errors")


@case("confluent-kafka: assign")
def assign(bootstrap):
    name = topic(bootstrap)
    values = numbered(500)
    produce(bootstrap, name, values)
    equal(values_of(read(bootstrap, name, 100, offset=400)), values[400:], "from the middle")
    reader = consumer(bootstrap)
    equal(reader.get_watermark_offsets(TopicPartition(name, 0), SECONDS_MAX), (0, 500), "ends")
    reader.close()


@case("confluent-kafka: offsets for times")
def times(bootstrap):
    name = topic(bootstrap)
    sender = producer(bootstrap)
    for i in range(10):
        sender.produce(name, value=b"v", partition=0, timestamp=RECENT + i * 1000)
        sender.flush(SECONDS_MAX)
    reader = consumer(bootstrap)
    found = reader.offsets_for_times([TopicPartition(name, 0, RECENT + 3_500)], SECONDS_MAX)
    equal(found[0].offset, 4, "offset")
    reader.close()


@case("confluent-kafka: long poll is completed by a record")
def long_poll(bootstrap):
    name = topic(bootstrap)
    reader = consumer(bootstrap, fetch_wait_max_ms=10_000, fetch_min_bytes=1)
    reader.assign([TopicPartition(name, 0, 0)])
    equal(reader.poll(1.0), None, "nothing yet")
    began = time.monotonic()
    produce(bootstrap, name, [b"now"])
    equal(values_of(take(reader, 1)), [b"now"], "value")
    if time.monotonic() - began > 5:
        raise AssertionError("the record waited for the poll's end")
    reader.close()


@case("confluent-kafka: group")
def group(bootstrap):
    name, group = topic(bootstrap, partitions=3), unique("group")
    sender = producer(bootstrap)
    for i in range(300):
        sender.produce(name, value=str(i).encode(), partition=i % 3)
    sender.flush(SECONDS_MAX)
    first = consumer(bootstrap, group)
    first.subscribe([name])
    taken = take(first, 300)
    equal(sorted(int(value) for value in values_of(taken)), list(range(300)), "values")
    first.commit(asynchronous=False)
    first.close()
    for i in range(3):
        sender.produce(name, value=b"later", partition=i)
    sender.flush(SECONDS_MAX)
    second = consumer(bootstrap, group)
    second.subscribe([name])
    equal(values_of(take(second, 3)), [b"later"] * 3, "values after the commit")
    second.close()


@case("confluent-kafka: group rebalances")
def rebalance(bootstrap):
    name, group = topic(bootstrap, partitions=4), unique("group")
    members = [consumer(bootstrap, group, session_timeout_ms=10_000) for _ in range(2)]
    for member in members:
        member.subscribe([name])

    def shares():
        for member in members:
            member.poll(0.05)
        return sorted(len(member.assignment()) for member in members)

    wait_for(lambda: shares() == [2, 2], "each of two members has two partitions")
    members.pop().close()
    wait_for(lambda: shares() == [4], "the one that stays has all four")
    members.pop().close()


@case("confluent-kafka: group cooperative-sticky")
def cooperative(bootstrap):
    name, group = topic(bootstrap, partitions=4), unique("group")
    strategy = {"partition_assignment_strategy": "cooperative-sticky"}
    members = [consumer(bootstrap, group, **strategy) for _ in range(2)]
    for member in members:
        member.subscribe([name])

    def shares():
        for member in members:
            member.poll(0.05)
        return sorted(len(member.assignment()) for member in members)

    wait_for(lambda: shares() == [2, 2], "each of two members has two partitions")
    for member in members:
        member.close()


@case("confluent-kafka: static members")
def static(bootstrap):
    name, group = topic(bootstrap, partitions=2), unique("group")
    produce(bootstrap, name, [b"a"])
    for _ in range(2):
        member = consumer(bootstrap, group, group_instance_id="one")
        member.subscribe([name])
        equal(values_of(take(member, 1)), [b"a"], "value")
        member.close()


@case("confluent-kafka: committed offsets keep their metadata")
def metadata(bootstrap):
    name, group = topic(bootstrap), unique("group")
    produce(bootstrap, name, numbered(10))
    member = consumer(bootstrap, group)
    position = TopicPartition(name, 0, 7, "a note")
    member.commit(offsets=[position], asynchronous=False)
    found = member.committed([TopicPartition(name, 0)], SECONDS_MAX)[0]
    equal((found.offset, found.metadata), (7, "a note"), "committed")
    member.close()


def transactional(bootstrap, name):
    sender = producer(bootstrap, transactional_id=name, transaction_timeout_ms=30_000)
    sender.init_transactions(SECONDS_MAX)
    return sender


@case("confluent-kafka: transactions")
def transactions(bootstrap):
    name = topic(bootstrap)
    sender = transactional(bootstrap, unique("txn"))
    for i in range(6):
        sender.begin_transaction()
        for value in numbered(10):
            sender.produce(name, value=b"%d:" % i + value, partition=0)
        if i % 2:
            sender.abort_transaction(SECONDS_MAX)
        else:
            sender.commit_transaction(SECONDS_MAX)
    wanted = [b"%d:" % i + value for i in (0, 2, 4) for value in numbered(10)]
    committed = read(bootstrap, name, 30, isolation_level="read_committed")
    equal(values_of(committed), wanted, "read committed")
    # librdkafka's abort purges what it has not sent, so only a lower bound is known here.
    all_of_them = read(bootstrap, name, 30, isolation_level="read_uncommitted")
    equal(len(all_of_them), 30, "read uncommitted")


@case("confluent-kafka: open transactions hide what follows")
def last_stable_offset(bootstrap):
    name = topic(bootstrap)
    sender = transactional(bootstrap, unique("txn"))
    sender.begin_transaction()
    sender.produce(name, value=b"open", partition=0)
    sender.flush(SECONDS_MAX)
    produce(bootstrap, name, [b"plain"])
    reader = consumer(bootstrap, isolation_level="read_committed")
    reader.assign([TopicPartition(name, 0, 0)])
    equal(reader.poll(1.0), None, "while the transaction is open")
    sender.commit_transaction(SECONDS_MAX)
    equal(values_of(take(reader, 2)), [b"open", b"plain"], "after the commit")
    reader.close()


@case("confluent-kafka: transactions fence the older producer")
def fencing(bootstrap):
    name, identity = topic(bootstrap), unique("txn")
    older = transactional(bootstrap, identity)
    older.begin_transaction()
    older.produce(name, value=b"lost", partition=0)
    older.flush(SECONDS_MAX)
    newer = transactional(bootstrap, identity)
    try:
        older.commit_transaction(SECONDS_MAX)
        raise AssertionError("the older producer was not fenced")
    except KafkaException as error:
        if not error.args[0].fatal():
            raise
    newer.begin_transaction()
    newer.produce(name, value=b"kept", partition=0)
    newer.commit_transaction(SECONDS_MAX)
    taken = read(bootstrap, name, 1, isolation_level="read_committed")
    equal(values_of(taken), [b"kept"], "values")


@case("confluent-kafka: transactions with offsets")
def consume_process_produce(bootstrap):
    source, target, group = topic(bootstrap), topic(bootstrap), unique("group")
    produce(bootstrap, source, numbered(100))
    sender = transactional(bootstrap, unique("txn"))
    reader = consumer(bootstrap, group, isolation_level="read_committed")
    reader.subscribe([source])
    taken = take(reader, 100)

    def attempt(finish):
        sender.begin_transaction()
        for message in taken:
            sender.produce(target, value=message.value(), partition=0)
        offsets = reader.position(reader.assignment())
        sender.send_offsets_to_transaction(offsets, reader.consumer_group_metadata(), SECONDS_MAX)
        finish(SECONDS_MAX)
        return reader.committed([TopicPartition(source, 0)], SECONDS_MAX)[0].offset

    equal(attempt(sender.abort_transaction), -1001, "offset after the abort")
    equal(attempt(sender.commit_transaction), 100, "offset after the commit")
    reader.close()
    found = read(bootstrap, target, 100, isolation_level="read_committed")
    equal(values_of(found), numbered(100), "values")


@case("confluent-kafka: admin topics")
def admin_topics(bootstrap):
    client, name = admin(bootstrap), topic(bootstrap, partitions=2)
    found = client.list_topics(timeout=SECONDS_MAX).topics
    equal(len(found[name].partitions), 2, "partitions")
    again = client.create_topics([NewTopic(name, 1, 1)])[name]
    try:
        again.result(SECONDS_MAX)
        raise AssertionError("the topic was created twice")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS, "error")
    results(client.create_partitions([NewPartitions(name, 5)]))
    grown = lambda: len(client.list_topics(name, SECONDS_MAX).topics[name].partitions) == 5
    wait_for(grown, "five partitions")
    results(client.delete_topics([name]))
    wait_for(lambda: name not in client.list_topics(timeout=SECONDS_MAX).topics, "it is gone")


@case("confluent-kafka: admin configs")
def admin_configs(bootstrap):
    client, name = admin(bootstrap), topic(bootstrap, **{"retention.ms": "1234567"})
    resource = ConfigResource(ResourceType.TOPIC, name)

    def configs():
        return results(client.describe_configs([resource]))[resource]

    found = configs()
    equal(found["retention.ms"].value, "1234567", "retention.ms")
    equal(found["cleanup.policy"].value, "delete", "cleanup.policy")
    equal(found["cleanup.policy"].is_default, True, "cleanup.policy is a default")
    change = ConfigEntry(
        "retention.ms", "7654321", incremental_operation=AlterConfigOpType.SET
    )
    changed = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])
    results(client.incremental_alter_configs([changed]))
    wait_for(lambda: configs()["retention.ms"].value == "7654321", "the new value")


@case("confluent-kafka: admin delete records")
def admin_delete_records(bootstrap):
    client, name = admin(bootstrap), topic(bootstrap)
    produce(bootstrap, name, numbered(10))
    deleted = results(client.delete_records([TopicPartition(name, 0, 4)]))
    equal([result.low_watermark for result in deleted.values()], [4], "low watermark")
    equal(values_of(read(bootstrap, name, 6)), numbered(10)[4:], "what is left")
    spec = {TopicPartition(name, 0): OffsetSpec.earliest()}
    listed = results(client.list_offsets(spec))
    equal([result.offset for result in listed.values()], [4], "earliest offset")


@case("confluent-kafka: admin groups")
def admin_groups(bootstrap):
    client, name, group = admin(bootstrap), topic(bootstrap), unique("group")
    produce(bootstrap, name, numbered(10))
    member = consumer(bootstrap, group)
    member.subscribe([name])
    take(member, 10)
    member.commit(asynchronous=False)
    listed = client.list_consumer_groups().result(SECONDS_MAX).valid
    equal(group in [item.group_id for item in listed], True, "the group is listed")
    described = results(client.describe_consumer_groups([group]))[group]
    equal((described.state.name, len(described.members)), ("STABLE", 1), "described")
    member.close()
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0)])
    offsets = results(client.list_consumer_group_offsets([asked]))[group]
    equal([partition.offset for partition in offsets.topic_partitions], [10], "offsets")
    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 3)])
    results(client.alter_consumer_group_offsets([moved]))
    offsets = results(client.list_consumer_group_offsets([asked]))[group]
    equal([partition.offset for partition in offsets.topic_partitions], [3], "moved offsets")
    results(client.delete_consumer_groups([group]))
    listed = client.list_consumer_groups().result(SECONDS_MAX).valid
    equal(group in [item.group_id for item in listed], False, "the group is listed")


@case("confluent-kafka: admin cluster")
def admin_cluster(bootstrap):
    client = admin(bootstrap)
    cluster = client.describe_cluster().result(SECONDS_MAX)
    equal(len(cluster.nodes), 1, "nodes")
    equal(cluster.controller is not None, True, "a controller")
