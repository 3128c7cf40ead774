//! What the end of a request means for a batch.

use protocol::error_code::ErrorCode;

use super::facts::{Failure, Outcome};

/// What becomes of a batch.
pub(super) struct Verdict {
    /// The batch has come to its end; otherwise it is sent again.
    pub(super) end: Option<Result<i64, Failure>>,
    pub(super) refreshes: bool,
    pub(super) renews: bool,
}

pub(super) fn judge(outcome: Outcome, is_first: bool, is_idempotent: bool) -> Verdict {
    let again = Verdict { end: None, refreshes: false, renews: false };
    let code = match outcome {
        Outcome::Written { base_offset } => {
            return Verdict { end: Some(Ok(base_offset)), ..again };
        }
        Outcome::Lost => return Verdict { refreshes: true, ..again },
        Outcome::Refused(code) => code,
    };
    match code {
        // It was written long ago; only where is no longer known.
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Verdict { end: Some(Ok(-1)), ..again },
        // An earlier batch did not arrive; it will be sent again, and then this one.
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER if is_idempotent && !is_first => again,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
        | ErrorCode::UNKNOWN_PRODUCER_ID
        | ErrorCode::INVALID_PRODUCER_EPOCH
            if is_idempotent =>
        {
            Verdict { renews: true, ..again }
        }
        code if code.is_retriable() && code != ErrorCode::CORRUPT_MESSAGE => {
            Verdict { refreshes: is_moved(code), ..again }
        }
        // The number of the failed batch leaves a gap that the broker would not accept.
        code => {
            let end = Some(Err(Failure::Refused(code)));
            Verdict { end, refreshes: false, renews: is_idempotent }
        }
    }
}

/// Whether the code says that the partition is led by somebody else now.
fn is_moved(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::KAFKA_STORAGE_ERROR
            | ErrorCode::REPLICA_NOT_AVAILABLE
    )
}
