//! Tests of the accumulator: order, sequences and repetitions.

use protocol::error_code::ErrorCode;
use protocol::record::Compression;

use super::*;

type Test = Machine<u32>;
type Shipped = (i32, Vec<(usize, i32, i16)>);

fn rules() -> Rules {
    Rules {
        compression: Compression::None,
        batch_bytes_max: 200,
        batch_bytes_first: 100,
        request_bytes_max: 10_000,
        buffer_bytes_max: 2000,
        linger_ms: 0,
        delivery_timeout_ms: 1000,
        retry_ms: 10,
        retry_ms_max: 100,
        in_flight_max: 5,
        is_idempotent: true,
        is_transactional: false,
        seed: 0,
    }
}

fn machine(rules: Rules) -> Test {
    let mut machine = Machine::new(rules);
    machine.set_leaders(&Arc::from("t"), vec![1, 1, 2]);
    machine
}

fn slot(partition: usize) -> Slot {
    Slot { topic: 0, partition }
}

/// Appends a record in a batch of its own; its token is its number.
fn append(machine: &mut Test, partition: usize, now_ms: u64, token: u32) {
    let parts = Parts { timestamp: 0, key: None, value: Some(&[7; 120]), headers: &[] };
    let appended = machine.append(slot(partition), &parts, |_| (now_ms, token));
    assert!(matches!(appended, Appended::Taken { .. }));
}

/// A machine whose leaders have taken a batch of each partition, sequence 0.
fn established(rules: Rules) -> Test {
    let mut machine = machine(rules);
    machine.set_identity(identity(0));
    for partition in 0..3 {
        append(&mut machine, partition, 0, 100);
    }
    for shipment in machine.drain(0).shipments {
        assert!(!answer(&mut machine, 0, &shipment, WRITTEN).is_empty());
    }
    machine
}

/// What a shipment carries: node, and partition, sequence and epoch of each batch.
fn shipped(plan: &Plan<u32>) -> Vec<Shipped> {
    let parcel = |parcel: &Parcel| (parcel.slot.partition, parcel.sequence, parcel.producer.epoch);
    let shipment = |it: &Shipment| (it.node, it.parcels.iter().map(parcel).collect::<Vec<_>>());
    plan.shipments.iter().map(shipment).collect()
}

fn answer(machine: &mut Test, now_ms: u64, shipment: &Shipment, outcome: Outcome) -> Vec<String> {
    let outcomes = shipment.parcels.iter();
    let outcomes = outcomes.map(|it| (it.slot, it.id, outcome, Bytes::from_static(b"batch")));
    let finished = machine.complete(now_ms, shipment.request, outcomes.collect());
    told(finished)
}

fn told(finished: Vec<Finished<u32>>) -> Vec<String> {
    finished.into_iter().map(|it| format!("{} {:?}", it.token, it.result)).collect()
}

fn identity(epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id: 9, epoch }
}

const WRITTEN: Outcome = Outcome::Written { base_offset: 5 };

#[test]
fn nothing_is_sent_before_there_is_an_identity() {
    let mut machine = machine(rules());
    append(&mut machine, 0, 0, 1);
    let plan = machine.drain(0);
    assert!(plan.wants_identity && plan.shipments.is_empty());
    machine.set_identity(identity(0));
    assert_eq!(shipped(&machine.drain(0)), [(1, vec![(0, 0, 0)])]);
}

#[test]
fn one_request_per_broker_carries_one_batch_of_each_partition() {
    let mut machine = established(rules());
    for partition in [0, 1, 2, 0] {
        append(&mut machine, partition, 0, 1);
    }
    let plan = machine.drain(0);
    let first = (1, vec![(0, 1, 0), (1, 1, 0)]);
    assert_eq!(shipped(&plan), [first, (2, vec![(2, 1, 0)]), (1, vec![(0, 2, 0)])]);
    assert!(machine.drain(0).shipments.is_empty());
}

#[test]
fn at_most_five_requests_are_in_flight_per_broker() {
    let mut machine = established(rules());
    for token in 0..8 {
        append(&mut machine, 0, 0, token);
    }
    let plan = machine.drain(0);
    assert_eq!(plan.shipments.len(), 5);
    assert_eq!(answer(&mut machine, 1, &plan.shipments[0], WRITTEN), ["0 Ok(5)"]);
    assert_eq!(shipped(&machine.drain(1)), [(1, vec![(0, 6, 0)])]);
}

#[test]
fn a_batch_that_came_back_is_sent_again_first_and_under_its_old_number() {
    let mut machine = established(rules());
    for token in 0..3 {
        append(&mut machine, 0, 0, token);
    }
    let plan = machine.drain(0);
    let moved = Outcome::Refused(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert!(answer(&mut machine, 1, &plan.shipments[0], moved).is_empty());
    append(&mut machine, 0, 1, 3);
    // The others are still out: sending now could put the first behind them.
    let wait = machine.drain(50);
    assert!(wait.shipments.is_empty() && wait.refresh.contains(&0));
    let gap = Outcome::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert!(answer(&mut machine, 50, &plan.shipments[1], gap).is_empty());
    assert!(answer(&mut machine, 50, &plan.shipments[2], Outcome::Lost).is_empty());
    // What is sent again goes one by one; what is new may follow the last of it at once.
    let mut again = Vec::new();
    while !machine.is_empty() {
        let plan = machine.drain(200);
        let sequences = plan.shipments.iter().map(|it| it.parcels[0].sequence);
        again.push(sequences.collect::<Vec<_>>());
        for shipment in &plan.shipments {
            answer(&mut machine, 200, shipment, WRITTEN);
        }
    }
    assert_eq!(again, [vec![1], vec![2], vec![3, 4]]);
}

#[test]
fn the_first_batch_for_a_leader_goes_alone() {
    let mut machine = machine(rules());
    machine.set_identity(identity(0));
    append(&mut machine, 0, 0, 1);
    append(&mut machine, 0, 0, 2);
    let first = machine.drain(0);
    assert_eq!(shipped(&first), [(1, vec![(0, 0, 0)])]);
    answer(&mut machine, 0, &first.shipments[0], WRITTEN);
    assert_eq!(shipped(&machine.drain(0)), [(1, vec![(0, 1, 0)])]);
}

#[test]
fn requests_behind_a_broken_connection_or_a_returned_batch_are_not_sent() {
    let mut machine = established(rules());
    for token in 0..3 {
        append(&mut machine, 0, 0, token);
    }
    let plan = machine.drain(0);
    let [first, second, third] = &plan.shipments[..] else { panic!("{plan:?}") };
    assert!(machine.may_send(first, 7));
    assert!(!machine.may_send(second, 8) && machine.may_send(second, 7));
    assert!(answer(&mut machine, 0, first, Outcome::Lost).is_empty());
    assert!(!machine.may_send(third, 7));
}

#[test]
fn a_duplicate_counts_as_delivered_at_an_unknown_place() {
    let mut machine = machine(rules());
    machine.set_identity(identity(0));
    append(&mut machine, 0, 0, 1);
    let plan = machine.drain(0);
    let duplicate = Outcome::Refused(ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
    assert_eq!(answer(&mut machine, 1, &plan.shipments[0], duplicate), ["1 Ok(-1)"]);
}

#[test]
fn a_gap_at_the_first_batch_asks_for_a_fresh_epoch_once_all_is_settled() {
    let mut machine = machine(rules());
    machine.set_identity(identity(0));
    append(&mut machine, 0, 0, 1);
    append(&mut machine, 1, 0, 2);
    let first = machine.drain(0);
    append(&mut machine, 2, 0, 3);
    let second = machine.drain(0);
    let outcomes = vec![
        (slot(0), 0, Outcome::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), Bytes::new()),
        (slot(1), 1, WRITTEN, Bytes::new()),
    ];
    assert_eq!(told(machine.complete(1, first.shipments[0].request, outcomes)), ["2 Ok(5)"]);
    append(&mut machine, 1, 1, 4);
    // Partition 2 is out under the old identity, so it is not given up yet.
    let wait = machine.drain(100);
    assert!(!wait.wants_identity && wait.shipments.is_empty());
    assert_eq!(answer(&mut machine, 100, &second.shipments[0], WRITTEN), ["3 Ok(5)"]);
    assert!(machine.drain(100).wants_identity);
    machine.set_identity(identity(1));
    assert_eq!(shipped(&machine.drain(100)), [(1, vec![(0, 0, 1), (1, 0, 1)])]);
}

#[test]
fn a_batch_that_waits_too_long_fails_and_one_that_was_sent_costs_the_epoch() {
    let mut machine = machine(rules());
    machine.set_identity(identity(0));
    append(&mut machine, 0, 0, 1);
    let plan = machine.drain(0);
    assert!(answer(&mut machine, 990, &plan.shipments[0], Outcome::Lost).is_empty());
    append(&mut machine, 0, 990, 2);
    let late = machine.drain(1000);
    assert_eq!(told(late.finished), ["1 Err(TimedOut)"]);
    assert!(late.wants_identity);
    machine.set_identity(identity(1));
    assert_eq!(shipped(&machine.drain(1100)), [(1, vec![(0, 0, 1)])]);
}

#[test]
fn a_full_buffer_takes_no_more_until_something_is_delivered() {
    let mut machine = machine(Rules { buffer_bytes_max: 300, ..rules() });
    machine.set_identity(identity(0));
    append(&mut machine, 0, 0, 1);
    append(&mut machine, 0, 0, 2);
    let parts = Parts { timestamp: 0, key: None, value: None, headers: &[] };
    assert!(matches!(machine.append(slot(0), &parts, |_| (0, 3)), Appended::Full));
    let plan = machine.drain(0);
    answer(&mut machine, 0, &plan.shipments[0], WRITTEN);
    append(&mut machine, 0, 0, 3);
    while !machine.is_empty() {
        assert!(machine.buffered_bytes() > 0);
        for shipment in machine.drain(0).shipments {
            answer(&mut machine, 0, &shipment, WRITTEN);
        }
    }
    assert_eq!((machine.buffered_bytes(), machine.is_empty()), (0, true));
}

#[test]
fn a_batch_waits_for_company_until_its_linger_is_over_or_somebody_flushes() {
    let mut machine = machine(Rules { linger_ms: 50, ..rules() });
    machine.set_identity(identity(0));
    append(&mut machine, 0, 0, 1);
    let plan = machine.drain(10);
    assert_eq!((plan.shipments.len(), plan.wake_at_ms), (0, Some(50)));
    assert_eq!(machine.drain(50).shipments.len(), 1);
    append(&mut machine, 1, 60, 2);
    let until = machine.flush();
    assert!(!machine.is_flushed(until));
    assert_eq!(machine.drain(60).shipments.len(), 1);
}

#[test]
fn without_idempotence_one_batch_per_partition_is_out_at_a_time() {
    let mut machine = machine(Rules { is_idempotent: false, ..rules() });
    append(&mut machine, 0, 0, 1);
    append(&mut machine, 0, 0, 2);
    let plan = machine.drain(0);
    assert_eq!(shipped(&plan), [(1, vec![(0, -1, -1)])]);
    answer(&mut machine, 0, &plan.shipments[0], WRITTEN);
    assert_eq!(machine.drain(0).shipments.len(), 1);
}

#[test]
fn a_partition_without_a_leader_is_looked_up_and_waits() {
    let mut machine = machine(rules());
    machine.set_identity(identity(0));
    machine.set_leaders(&Arc::from("t"), vec![-1, 1, 2]);
    append(&mut machine, 0, 0, 1);
    let plan = machine.drain(0);
    assert!(plan.refresh.contains(&0) && plan.shipments.is_empty());
    assert_eq!(plan.wake_at_ms, Some(10));
    machine.set_leaders(&Arc::from("t"), vec![2, 1, 2]);
    assert_eq!(shipped(&machine.drain(0)), [(2, vec![(0, 0, 0)])]);
}

#[test]
fn a_transaction_sends_only_to_registered_partitions_and_fails_instead_of_renewing() {
    let mut machine = machine(Rules { is_transactional: true, ..rules() });
    machine.set_identity(identity(0));
    append(&mut machine, 0, 0, 1);
    append(&mut machine, 1, 0, 2);
    assert!(machine.drain(0).shipments.is_empty());
    assert_eq!(machine.unregistered().len(), 2);
    machine.set_registered(&BTreeSet::from([slot(0)]));
    let plan = machine.drain(0);
    assert_eq!(shipped(&plan), [(1, vec![(0, 0, 0)])]);
    let gone = Outcome::Refused(ErrorCode::UNKNOWN_PRODUCER_ID);
    let failed = answer(&mut machine, 0, &plan.shipments[0], gone);
    assert_eq!(failed, ["1 Err(Refused(UNKNOWN_PRODUCER_ID (59)))"]);
    assert!(machine.take_gap() && !machine.take_gap());
    assert_eq!(told(machine.fail_queued(Failure::TimedOut)), ["2 Err(TimedOut)"]);
    // The batch that was never sent had no number, so it leaves no gap.
    assert!(!machine.take_gap() && machine.is_empty());
    machine.forget_registered();
    append(&mut machine, 0, 0, 3);
    assert_eq!(machine.unregistered().len(), 1);
}
