//! The values that stateful tasks give: JSON documents, or bare numbers in the legacy form.

use base::cast;
use topology::json::{Number, write_number};
use topology::spec::{Form, write_timestamp};

use super::chain::Span;
use state::value::Mean;

fn whole(out: &mut Vec<u8>, count: u64) {
    write_number(out, Number::Int(cast::i64_of_u64(count)));
}

/// A running count.
pub(crate) fn count(out: &mut Vec<u8>, form: Form, count: u64) {
    match form {
        Form::Legacy => whole(out, count),
        Form::Full => {
            out.extend_from_slice(b"{\"count\":");
            whole(out, count);
            out.push(b'}');
        }
    }
}

/// The count of a window, whose bounds are given as [`bounds`] writes them.
pub(crate) fn window_count(out: &mut Vec<u8>, form: Form, count: u64, bounds: &[u8]) {
    match form {
        Form::Legacy => whole(out, count),
        Form::Full => {
            out.extend_from_slice(b"{\"count\":");
            whole(out, count);
            out.extend_from_slice(bounds);
        }
    }
}

/// The mean of a window, whose bounds are given as [`bounds`] writes them.
pub(crate) fn average(out: &mut Vec<u8>, form: Form, mean: &Mean, bounds: &[u8]) {
    let value = Number::Float(mean.mean());
    match form {
        Form::Legacy => write_number(out, value),
        Form::Full => {
            out.extend_from_slice(b"{\"average\":");
            write_number(out, value);
            out.extend_from_slice(b",\"count\":");
            whole(out, mean.count);
            out.extend_from_slice(bounds);
        }
    }
}

/// The bounds of a window, and the end of the document.
pub(crate) fn bounds(out: &mut Vec<u8>, span: Span) {
    out.extend_from_slice(b",\"window_start\":\"");
    write_timestamp(out, span.start_ms());
    out.extend_from_slice(b"\",\"window_end\":\"");
    write_timestamp(out, span.end_ms);
    out.extend_from_slice(b"\"}");
}
