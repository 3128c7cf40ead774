//! Printing a record by a format.

use std::io::Write as _;

use bytes::Bytes;

use super::{
    AttributeField, Format, NumberCoding, NumberField, Part, TextCoding, TextField, TimeCoding,
};
use crate::calendar::Moment;
use crate::shown::ShownRecord;
use crate::{base64, envelope};

impl Format {
    /// Writes a record; `number` counts the records of this run from 1.
    pub(crate) fn write(&self, record: &ShownRecord, number: u64, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Text(TextField::Topic, coding) => {
                    text(Some(&Bytes::copy_from_slice(record.topic.as_bytes())), *coding, out);
                }
                Part::Text(TextField::Key, coding) => text(record.key.as_ref(), *coding, out),
                Part::Text(TextField::Value, coding) => text(record.value.as_ref(), *coding, out),
                Part::Number(field, coding) => {
                    write_number(number_of(*field, record, number), *coding, out);
                }
                Part::Timestamp(coding) => timestamp(record.timestamp_ms, coding, out),
                Part::Attribute(field) => attribute(*field, record, out),
                Part::Headers(format) => {
                    for header in &record.headers {
                        let key = Some(header.key.clone());
                        let value = header.value.clone();
                        let inner = ShownRecord { key, value, ..ShownRecord::default() };
                        format.write(&inner, number, out);
                    }
                }
            }
        }
    }
}

/// Nothing prints as nothing, except in JSON, where it is `null`.
fn text(bytes: Option<&Bytes>, coding: TextCoding, out: &mut Vec<u8>) {
    let Some(bytes) = bytes else {
        if coding == TextCoding::Json {
            out.extend_from_slice(b"null");
        }
        return;
    };
    match coding {
        TextCoding::Plain => out.extend_from_slice(bytes),
        TextCoding::Hex => {
            for byte in bytes {
                put(out, format_args!("{byte:02x}"));
            }
        }
        TextCoding::Base64 => out.extend_from_slice(base64::encode(bytes).as_bytes()),
        TextCoding::Json => envelope::write_content(bytes, out),
    }
}

fn number_of(field: NumberField, record: &ShownRecord, number: u64) -> i64 {
    let length =
        |bytes: &Option<Bytes>| bytes.as_ref().map_or(-1, |bytes| base::cast::i64_of(bytes.len()));
    match field {
        NumberField::Partition => i64::from(record.partition),
        NumberField::Offset => record.offset,
        NumberField::LeaderEpoch => i64::from(record.leader_epoch),
        NumberField::ProducerId => record.producer_id,
        NumberField::ProducerEpoch => i64::from(record.producer_epoch),
        NumberField::LogStartOffset => record.log_start_offset,
        NumberField::LastStableOffset => record.last_stable_offset,
        NumberField::HighWatermark => record.high_watermark,
        NumberField::RecordNumber => base::cast::i64_of_u64(number),
        NumberField::TopicLength => base::cast::i64_of(record.topic.len()),
        NumberField::KeyLength => length(&record.key),
        NumberField::ValueLength => length(&record.value),
        NumberField::HeaderCount => base::cast::i64_of(record.headers.len()),
    }
}

fn write_number(number: i64, coding: NumberCoding, out: &mut Vec<u8>) {
    match coding {
        NumberCoding::Decimal => put(out, format_args!("{number}")),
        NumberCoding::Hex => put(out, format_args!("{number:016x}")),
    }
}

fn timestamp(unix_ms: i64, coding: &TimeCoding, out: &mut Vec<u8>) {
    let moment = Moment::from_unix_ms(unix_ms);
    match coding {
        TimeCoding::UnixMs => put(out, format_args!("{unix_ms}")),
        TimeCoding::Rfc3339 => out.extend_from_slice(moment.rfc3339().as_bytes()),
        TimeCoding::Strftime(parts) => parts.iter().for_each(|part| part.write(&moment, out)),
    }
}

fn attribute(field: AttributeField, record: &ShownRecord, out: &mut Vec<u8>) {
    match field {
        AttributeField::All => put(out, format_args!("{}", record.attributes)),
        AttributeField::Compression => out.extend_from_slice(record.compression().as_bytes()),
        AttributeField::TimestampType => out.extend_from_slice(record.timestamp_type().as_bytes()),
        AttributeField::Transactional => put(out, format_args!("{}", record.is_transactional())),
        AttributeField::Control => put(out, format_args!("{}", record.is_control())),
    }
}

fn put(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("memory takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::ShownHeader;

    fn record() -> ShownRecord {
        let header = |key: &'static str, value: Option<&'static str>| ShownHeader {
            key: Bytes::from_static(key.as_bytes()),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
        };
        ShownRecord {
            topic: "readings".to_owned(),
            partition: 2,
            offset: 41,
            timestamp_ms: 1_763_707_800_250,
            attributes: 0x12,
            leader_epoch: 3,
            producer_id: 1_000,
            producer_epoch: 7,
            key: Some(Bytes::from_static(b"d1")),
            value: Some(Bytes::from_static(b"{\"t\":1}")),
            headers: vec![header("a", Some("1")), header("a", None)],
            log_start_offset: 5,
            last_stable_offset: 90,
            high_watermark: 91,
        }
    }

    fn check(format: &str, expected: &str) {
        let mut out = Vec::new();
        Format::parse(format).unwrap().write(&record(), 12, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{format}");
    }

    #[test]
    fn every_token_prints_its_field() {
        check("%p/%o %k %v\\n", "2/41 d1 {\"t\":1}\n");
        check("%t %e %x %y %i", "readings 3 1000 7 12");
        check("%[ %| %]", "5 90 91");
        check("%T %K %V %H", "8 2 7 2");
        check("%d %d{rfc3339}", "1763707800250 2025-11-21T06:50:00.250Z");
        check("%d{strftime[%F at %H:%M]}", "2025-11-21 at 06:50");
        check("%h{ %k=%v%}}|", " a=1} a=}|");
        check("%a %a{compression} %a{timestamp-type}", "18 snappy CreateTime");
        check("%a{transactional} %a{control}", "true false");
        check("100%%%{%}", "100%{}");
    }

    #[test]
    fn modifiers_change_the_writing() {
        check("%k{hex} %k{base64} %k{json} %t{hex}", "6431 ZDE= \"d1\" 72656164696e6773");
        check("%v{json}", "\"{\\\"t\\\":1}\"");
        check("%o{hex} %p{ascii}", "0000000000000029 2");
        check("%h{%k{hex}%v{json};}", "61\"1\";61null;");
    }

    #[test]
    fn nothing_prints_as_nothing() {
        let mut out = Vec::new();
        let empty = ShownRecord::default();
        Format::parse("[%k|%v|%k{hex}|%k{json}|%K]").unwrap().write(&empty, 1, &mut out);
        assert_eq!(out, b"[|||null|-1]");
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let record = ShownRecord {
            value: Some(Bytes::from_static(&[0xff, 0, 0x80])),
            ..ShownRecord::default()
        };
        let mut out = Vec::new();
        Format::parse("%v\\xff").unwrap().write(&record, 1, &mut out);
        assert_eq!(out, [0xff, 0, 0x80, 0xff]);
    }
}
