"""kafka-python, which speaks the protocol in Python."""

import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, MessageSizeTooLargeError, TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

from cases import RECENT, case, equal, unique, wait_for

SECONDS_MAX = 20


def admin(bootstrap):
    return KafkaAdminClient(bootstrap_servers=bootstrap)


def topic(bootstrap, partitions=1, **configs):
    name = unique("kafka-python")
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
    client = admin(bootstrap)
    client.create_topics({name: options}, wait_for_metadata=True)
    client.close()
    return name


def producer(bootstrap, **config):
    return KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, **config)


def produce(bootstrap, name, values, **config):
    """Produces the values to partition 0 in order and returns the offsets they were given."""
    sender = producer(bootstrap, **config)
    futures = [sender.send(name, value=value, key=b"k", partition=0) for value in values]
    sender.flush(SECONDS_MAX)
    offsets = [future.get(SECONDS_MAX).offset for future in futures]
    sender.close()
    return offsets


def consumer(bootstrap, group=None, **config):
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **config,
    )


def take(reader, count):
    """The next records, until there are as many as asked for."""
    taken = []
    end = time.monotonic() + SECONDS_MAX
    while len(taken) < count:
        for records in reader.poll(timeout_ms=200).values():
            taken.extend(records)
        if time.monotonic() > end:
            raise AssertionError(f"{len(taken)} of {count} records within {SECONDS_MAX} s")
    return taken


def read(bootstrap, name, count, offset=0, **config):
    reader = consumer(bootstrap, **config)
    partition = TopicPartition(name, 0)
    reader.assign([partition])
    reader.seek(partition, offset)
    taken = take(reader, count)
    reader.close()
    return taken


def values_of(records):
    return [record.value for record in records]


def numbered(count, size=100):
    return [str(i).encode().ljust(size, b".") for i in range(count)]


def round_trip(codec):
    def function(bootstrap):
        name = topic(bootstrap)
        values = numbered(1000)
        offsets = produce(bootstrap, name, values, compression_type=codec)
        equal(offsets, list(range(1000)), "offsets")
        equal(values_of(read(bootstrap, name, 1000)), values, "values")

    return function


for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
    case(f"kafka-python: produce {codec or 'none'}")(round_trip(codec))


@case("kafka-python: produce idempotent")
def idempotent(bootstrap):
    name = topic(bootstrap)
    values = numbered(1000)
    produce(bootstrap, name, values, enable_idempotence=True)
    equal(values_of(read(bootstrap, name, 1000)), values, "values")


@case("kafka-python: produce acks 0 and 1")
def acks(bootstrap):
    name = topic(bootstrap)
    for acks in [0, 1]:
        sender = producer(bootstrap, acks=acks, enable_idempotence=False)
        for value in numbered(50):
            sender.send(name, value=value, partition=0)
        sender.flush(SECONDS_MAX)
        sender.close()
    equal(len(read(bootstrap, name, 100)), 100, "records")


@case("kafka-python: keys, headers and timestamps")
def facts(bootstrap):
    name = topic(bootstrap)
    headers = [("a", b"1"), ("b", b""), ("a", b"2")]
    stamp = RECENT + 123
    sender = producer(bootstrap)
    sender.send(name, value=b"v", key=b"k", headers=headers, timestamp_ms=stamp)
    sender.send(name, value=None, key=b"k")
    sender.flush(SECONDS_MAX)
    sender.close()
    first, second = read(bootstrap, name, 2)
    equal(list(first.headers), headers, "headers")
    equal(first.timestamp, stamp, "timestamp")
    equal((second.key, second.value), (b"k", None), "tombstone")


@case("kafka-python: too large a record is refused")
def too_large(bootstrap):
    name = topic(bootstrap, **{"max.message.bytes": "1000"})
    sender = producer(bootstrap)
    try:
        sender.send(name, value=b"x" * 5000).get(SECONDS_MAX)
        raise AssertionError("the record was taken")
    except MessageSizeTooLargeError:
        pass
    sender.close()


@case("kafka-python: assign")
def assign(bootstrap):
    name = topic(bootstrap)
    values = numbered(500)
    produce(bootstrap, name, values)
    equal(values_of(read(bootstrap, name, 100, offset=400)), values[400:], "from the middle")
    reader, partition = consumer(bootstrap), TopicPartition(name, 0)
    equal(reader.beginning_offsets([partition]), {partition: 0}, "beginning")
    equal(reader.end_offsets([partition]), {partition: 500}, "end")
    reader.close()


@case("kafka-python: offsets for times")
def times(bootstrap):
    name = topic(bootstrap)
    sender = producer(bootstrap)
    for i in range(10):
        stamp = RECENT + i * 1000
        sender.send(name, value=b"v", partition=0, timestamp_ms=stamp).get(SECONDS_MAX)
    sender.close()
    reader, partition = consumer(bootstrap), TopicPartition(name, 0)
    found = reader.offsets_for_times({partition: RECENT + 3_500})
    equal(found[partition].offset, 4, "offset")
    reader.close()


@case("kafka-python: group")
def group(bootstrap):
    name, group = topic(bootstrap, partitions=3), unique("group")
    sender = producer(bootstrap)
    for i in range(300):
        sender.send(name, value=str(i).encode(), partition=i % 3)
    sender.flush(SECONDS_MAX)
    first = consumer(bootstrap, group)
    first.subscribe([name])
    taken = take(first, 300)
    equal(sorted(int(value) for value in values_of(taken)), list(range(300)), "values")
    first.commit()
    first.close()
    for i in range(3):
        sender.send(name, value=b"later", partition=i)
    sender.flush(SECONDS_MAX)
    sender.close()
    second = consumer(bootstrap, group)
    second.subscribe([name])
    equal(values_of(take(second, 3)), [b"later"] * 3, "values after the commit")
    second.close()


@case("kafka-python: group rebalances")
def rebalance(bootstrap):
    name, group = topic(bootstrap, partitions=4), unique("group")
    members = [consumer(bootstrap, group, heartbeat_interval_ms=500) for _ in range(2)]
    for member in members:
        member.subscribe([name])

    def shares():
        for member in members:
            member.poll(timeout_ms=50)
        return sorted(len(member.assignment()) for member in members)

    wait_for(lambda: shares() == [2, 2], "each of two members has two partitions")
    members.pop().close()
    wait_for(lambda: shares() == [4], "the one that stays has all four")
    members.pop().close()


@case("kafka-python: committed offsets keep their metadata")
def metadata(bootstrap):
    name, group = topic(bootstrap), unique("group")
    produce(bootstrap, name, numbered(10))
    member, partition = consumer(bootstrap, group), TopicPartition(name, 0)
    member.assign([partition])
    member.commit({partition: OffsetAndMetadata(7, "a note", -1)})
    found = member.committed(partition, metadata=True)
    equal((found.offset, found.metadata), (7, "a note"), "committed")
    member.close()


def transactional(bootstrap, name):
    sender = producer(bootstrap, transactional_id=name, transaction_timeout_ms=30_000)
    sender.init_transactions()
    return sender


@case("kafka-python: transactions")
def transactions(bootstrap):
    name = topic(bootstrap)
    sender = transactional(bootstrap, unique("txn"))
    for i in range(6):
        sender.begin_transaction()
        futures = [
            sender.send(name, value=b"%d:" % i + value, partition=0) for value in numbered(10)
        ]
        for future in futures:
            future.get(SECONDS_MAX)
        sender.abort_transaction() if i % 2 else sender.commit_transaction()
    sender.close()
    wanted = [b"%d:" % i + value for i in (0, 2, 4) for value in numbered(10)]
    committed = read(bootstrap, name, 30, isolation_level="read_committed")
    equal(values_of(committed), wanted, "read committed")
    all_of_them = read(bootstrap, name, 60, isolation_level="read_uncommitted")
    equal(len(all_of_them), 60, "read uncommitted")


@case("kafka-python: transactions fence the older producer")
def fencing(bootstrap):
    name, identity = topic(bootstrap), unique("txn")
    older = transactional(bootstrap, identity)
    older.begin_transaction()
    older.send(name, value=b"lost", partition=0).get(SECONDS_MAX)
    newer = transactional(bootstrap, identity)
    try:
        older.commit_transaction()
        raise AssertionError("the older producer was not fenced")
    except KafkaError:
        pass
    newer.begin_transaction()
    newer.send(name, value=b"kept", partition=0).get(SECONDS_MAX)
    newer.commit_transaction()
    newer.close()
    taken = read(bootstrap, name, 1, isolation_level="read_committed")
    equal(values_of(taken), [b"kept"], "values")


@case("kafka-python: transactions with offsets")
def consume_process_produce(bootstrap):
    source, target, group = topic(bootstrap), topic(bootstrap), unique("group")
    produce(bootstrap, source, numbered(100))
    sender = transactional(bootstrap, unique("txn"))
    reader = consumer(bootstrap, group, isolation_level="read_committed")
    reader.subscribe([source])
    taken = take(reader, 100)
    partition = TopicPartition(source, 0)
    positions = {partition: OffsetAndMetadata(100, "", -1)}

    def attempt(finish):
        sender.begin_transaction()
        for record in taken:
            sender.send(target, value=record.value, partition=0).get(SECONDS_MAX)
        sender.send_offsets_to_transaction(positions, reader.group_metadata())
        finish()
        return reader.committed(partition)

    equal(attempt(sender.abort_transaction), None, "offset after the abort")
    equal(attempt(sender.commit_transaction), 100, "offset after the commit")
    sender.close()
    reader.close()
    found = read(bootstrap, target, 100, isolation_level="read_committed")
    equal(values_of(found), numbered(100), "values")


@case("kafka-python: admin topics")
def admin_topics(bootstrap):
    client, name = admin(bootstrap), topic(bootstrap, partitions=2)
    equal(name in client.list_topics(), True, "the topic is listed")
    equal(len(client.describe_topics([name])[0]["partitions"]), 2, "partitions")
    try:
        client.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})
        raise AssertionError("the topic was created twice")
    except TopicAlreadyExistsError:
        pass
    client.create_partitions({name: 5})
    grown = lambda: len(client.describe_topics([name])[0]["partitions"]) == 5
    wait_for(grown, "five partitions")
    client.delete_topics([name])
    wait_for(lambda: name not in client.list_topics(), "the topic is gone")
    client.close()


@case("kafka-python: admin configs")
def admin_configs(bootstrap):
    client, name = admin(bootstrap), topic(bootstrap, **{"retention.ms": "1234567"})

    def configs():
        asked = ConfigResource(ConfigResourceType.TOPIC, name)
        found = client.describe_configs([asked], config_filter="all")
        return {key: item["value"] for key, item in found["topic"][name].items()}

    equal(configs()["retention.ms"], "1234567", "retention.ms")
    equal(configs()["cleanup.policy"], "delete", "cleanup.policy")
    change = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "7654321"})
    client.alter_configs([change])
    wait_for(lambda: configs()["retention.ms"] == "7654321", "the new value")
    client.close()


@case("kafka-python: admin delete records")
def admin_delete_records(bootstrap):
    client, name = admin(bootstrap), topic(bootstrap)
    produce(bootstrap, name, numbered(10))
    partition = TopicPartition(name, 0)
    client.delete_records({partition: 4})
    reader = consumer(bootstrap)
    equal(reader.beginning_offsets([partition]), {partition: 4}, "beginning")
    reader.close()
    client.close()


@case("kafka-python: admin groups")
def admin_groups(bootstrap):
    client, name, group = admin(bootstrap), topic(bootstrap), unique("group")
    produce(bootstrap, name, numbered(10))
    member = consumer(bootstrap, group)
    member.subscribe([name])
    take(member, 10)
    member.commit()

    def listed():
        return group in [item["group_id"] for item in client.list_groups()]

    equal(listed(), True, "the group is listed")
    described = client.describe_groups([group])[group]
    equal(len(described["members"]), 1, "members")
    member.close()
    offsets = client.list_group_offsets([group])[group]
    equal([item.offset for item in offsets.values()], [10], "offsets")
    client.delete_groups([group])
    equal(listed(), False, "the group is listed")
    client.close()


@case("kafka-python: admin cluster")
def admin_cluster(bootstrap):
    client = admin(bootstrap)
    equal(len(client.describe_cluster()["brokers"]), 1, "brokers")
    client.close()
