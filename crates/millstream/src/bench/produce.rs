//! `bench produce`: acknowledged records per second, and how late acknowledgements are.

use std::sync::Arc;

use super::load::{self, Content, Load, stored};
use super::report::{Faults, Measured};
use super::{Bench, BenchError};

/// Measures.
///
/// # Errors
/// What the cluster says.
pub(super) async fn measure(bench: &Bench) -> Result<Measured, BenchError> {
    let Bench { plan, clock, client, topic, .. } = bench;
    let producer = client.producer(bench.producing.clone());
    let warmup = Load {
        topic: Arc::from(topic.name.as_str()),
        content: Content::Stamps { size: plan.size },
        rate: plan.rate,
        begins_us: None,
        is_timed: true,
        first: 0,
        records: Some(plan.warmup),
        lasting: None,
    };
    load::send(warmup.clone(), &producer, clock).await?;
    let stored_before = stored(client, topic).await?;
    let measured =
        Load { first: plan.warmup, records: plan.records, lasting: plan.lasting, ..warmup };
    let spent_before = bench.spent();
    let (sent, delays) = load::send(measured, &producer, clock).await?;
    let spent = bench.spent().since(spent_before);
    let arrived = stored(client, topic).await?.saturating_sub(stored_before);
    let faults = Faults {
        lost: sent.records.saturating_sub(arrived),
        duplicates: arrived.saturating_sub(sent.records),
        out_of_order: None,
    };
    let bytes = sent.records * base::cast::u64_of(plan.size);
    Ok(Measured {
        records: sent.records,
        bytes,
        took_us: sent.took_us,
        delays: Some(delays),
        faults,
        spent,
    })
}
