//! Where a transactional producer stands, and what a coordinator's code means for it: pure.
//!
//! ```text
//! New --init--> Ready --begin--> Open --commit--> Ready
//!                                 |  \--abort---> Ready
//!                                 v
//!                               Doomed --abort--> Ready        any --> Ended
//! ```

use protocol::error_code::ErrorCode;

/// Where the producer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has no identity yet.
    New,
    /// Between two transactions.
    Ready,
    /// In a transaction.
    Open,
    /// In a transaction that can only be aborted.
    Doomed(ErrorCode),
    /// At its end: somebody took the id over.
    Fenced,
    /// At its end for another reason.
    Dead(ErrorCode),
}

/// What is to be done about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Done.
    Fine,
    /// The last transaction is still being ended; ask again very soon.
    Soon,
    /// Ask again after a pause.
    Again,
    /// Ask again, but find out first who coordinates.
    Elsewhere,
    /// Abort the transaction.
    Abort,
    /// Somebody took over, or the broker gave the transaction up: find out which.
    Suspect,
    /// Nothing helps.
    Die,
}

/// What the code of a coordinator (of transactions, or of the group whose offsets are committed)
/// means in the middle of a transaction.
pub(crate) fn judge(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::NONE => Verdict::Fine,
        ErrorCode::CONCURRENT_TRANSACTIONS => Verdict::Soon,
        ErrorCode::NOT_COORDINATOR
        | ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => Verdict::Elsewhere,
        ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => Verdict::Suspect,
        // The offsets' owner has moved on, or the broker asks for it: this attempt is void.
        ErrorCode::TRANSACTION_ABORTABLE
        | ErrorCode::ILLEGAL_GENERATION
        | ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::FENCED_INSTANCE_ID
        | ErrorCode::STALE_MEMBER_EPOCH
        | ErrorCode::REBALANCE_IN_PROGRESS
        | ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::OFFSET_METADATA_TOO_LARGE
        | ErrorCode::INVALID_COMMIT_OFFSET_SIZE => Verdict::Abort,
        code if code.is_retriable() => Verdict::Again,
        _ => Verdict::Die,
    }
}

/// What the failure of a batch means for its transaction.
pub(crate) fn judge_batch(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => Verdict::Suspect,
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_VERSION => Verdict::Die,
        _ => Verdict::Abort,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fencing_is_only_suspected_until_the_coordinator_confirms_it() {
        assert_eq!(judge(ErrorCode::PRODUCER_FENCED), Verdict::Suspect);
        assert_eq!(judge(ErrorCode::INVALID_PRODUCER_EPOCH), Verdict::Suspect);
        assert_eq!(judge_batch(ErrorCode::INVALID_PRODUCER_EPOCH), Verdict::Suspect);
    }

    #[test]
    fn codes_that_pass_are_asked_again_and_those_of_the_group_abort() {
        assert_eq!(judge(ErrorCode::CONCURRENT_TRANSACTIONS), Verdict::Soon);
        assert_eq!(judge(ErrorCode::NOT_COORDINATOR), Verdict::Elsewhere);
        assert_eq!(judge(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), Verdict::Again);
        assert_eq!(judge(ErrorCode::ILLEGAL_GENERATION), Verdict::Abort);
        assert_eq!(judge(ErrorCode::INVALID_TXN_STATE), Verdict::Die);
        assert_eq!(judge(ErrorCode::INVALID_PRODUCER_ID_MAPPING), Verdict::Die);
    }

    #[test]
    fn a_refused_batch_costs_the_transaction_and_not_the_producer() {
        assert_eq!(judge_batch(ErrorCode::MESSAGE_TOO_LARGE), Verdict::Abort);
        assert_eq!(judge_batch(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), Verdict::Abort);
        assert_eq!(judge_batch(ErrorCode::UNSUPPORTED_VERSION), Verdict::Die);
    }
}
