//! The values that stateful tasks give: JSON documents, or bare numbers in the legacy form.

use base::cast;
use topology::json::{Number, write_number};
use topology::spec::{Form, timestamp_text};

use super::chain::Span;
use super::state::Mean;

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

/// The count of a window.
pub(crate) fn window_count(out: &mut Vec<u8>, form: Form, count: u64, span: Span) {
    match form {
        Form::Legacy => whole(out, count),
        Form::Full => {
            out.extend_from_slice(b"{\"count\":");
            whole(out, count);
            bounds(out, span);
        }
    }
}

/// The mean of a window.
pub(crate) fn average(out: &mut Vec<u8>, form: Form, mean: &Mean, span: Span) {
    let value = Number::Float(mean.mean());
    match form {
        Form::Legacy => write_number(out, value),
        Form::Full => {
            out.extend_from_slice(b"{\"average\":");
            write_number(out, value);
            out.extend_from_slice(b",\"count\":");
            whole(out, mean.count);
            bounds(out, span);
        }
    }
}

/// The bounds of a window, and the end of the document.
fn bounds(out: &mut Vec<u8>, span: Span) {
    out.extend_from_slice(b",\"window_start\":\"");
    out.extend_from_slice(timestamp_text(span.start_ms()).as_bytes());
    out.extend_from_slice(b"\",\"window_end\":\"");
    out.extend_from_slice(timestamp_text(span.end_ms).as_bytes());
    out.extend_from_slice(b"\"}");
}
