//! Records on their way to standard output.

use std::io::{self, Write};

use client::ClientError;
use client::consumer::Fetched;
use protocol::record::{Batch, DecodedBatch, Record};

use crate::envelope;
use crate::format::Format;
use crate::shown::{ShownHeader, ShownRecord};
use crate::terminal::Output;

/// Bytes of one batch after decompression: far more than a broker takes, far less than memory.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// Bytes that are collected before they are handed to the output.
const CHUNK_BYTES: usize = 32 << 10;

/// Prints records until there have been enough.
#[derive(Debug)]
pub(super) struct Printer {
    /// None prints JSON envelopes.
    format: Option<Format>,
    records_left: Option<u64>,
    number: u64,
    line: Vec<u8>,
}

/// Why a record was not printed.
#[derive(Debug)]
pub(super) enum PrintError {
    Client(ClientError),
    Output(io::Error),
}

impl Printer {
    pub(super) fn new(format: Option<Format>, records_max: Option<u64>) -> Self {
        Self { format, records_left: records_max, number: 0, line: Vec::new() }
    }

    /// Whether there have been enough.
    pub(super) fn is_done(&self) -> bool {
        self.records_left == Some(0)
    }

    /// Prints the records before `until`; gives the offset behind the last one that was printed
    /// when it had to stop early.
    pub(super) fn print<W: Write>(
        &mut self,
        part: &Fetched,
        until: Option<i64>,
        output: &mut Output<W>,
    ) -> Result<Option<i64>, PrintError> {
        for batch in &part.batches {
            let decoded = batch.decode(BATCH_BYTES_MAX).map_err(|cause| damaged(part, cause))?;
            let mut shown = template(part, batch);
            for record in decoded.iter() {
                let record = record.map_err(|cause| damaged(part, cause))?;
                if record.offset < part.from {
                    continue;
                }
                if self.is_done() || output.is_reader_gone() {
                    self.hand_on(output)?;
                    return Ok(Some(record.offset));
                }
                if until.is_some_and(|until| record.offset >= until) {
                    break;
                }
                fill(&mut shown, &decoded, &record);
                self.write(&shown);
                if self.line.len() >= CHUNK_BYTES {
                    self.hand_on(output)?;
                }
            }
        }
        self.hand_on(output)?;
        Ok(None)
    }

    fn write(&mut self, shown: &ShownRecord) {
        self.number += 1;
        self.records_left = self.records_left.map(|left| left.saturating_sub(1));
        match &self.format {
            Some(format) => format.write(shown, self.number, &mut self.line),
            None => {
                envelope::write(shown, &mut self.line);
                self.line.push(b'\n');
            }
        }
    }

    fn hand_on<W: Write>(&mut self, output: &mut Output<W>) -> Result<(), PrintError> {
        let put = output.put(&self.line);
        self.line.clear();
        put.map_err(PrintError::Output)
    }
}

fn damaged(part: &Fetched, cause: protocol::record::RecordError) -> PrintError {
    let topic = part.topic.to_string();
    PrintError::Client(ClientError::Record { topic, partition: part.partition, cause })
}

/// What all records of a batch share.
fn template(part: &Fetched, batch: &Batch) -> ShownRecord {
    let header = batch.header();
    ShownRecord {
        topic: part.topic.to_string(),
        partition: part.partition,
        attributes: header.attributes,
        leader_epoch: header.partition_leader_epoch,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        log_start_offset: part.log_start,
        last_stable_offset: part.last_stable_offset,
        high_watermark: part.high_watermark,
        ..ShownRecord::default()
    }
}

fn fill(shown: &mut ShownRecord, decoded: &DecodedBatch, record: &Record<'_>) {
    shown.offset = record.offset;
    shown.timestamp_ms = record.timestamp;
    shown.key = record.key.map(|key| decoded.slice_ref(key));
    shown.value = record.value.map(|value| decoded.slice_ref(value));
    shown.headers.clear();
    shown.headers.extend(record.headers.iter().map(|(key, value)| ShownHeader {
        key: decoded.slice_ref(key),
        value: value.map(|value| decoded.slice_ref(value)),
    }));
}
