//! Kafka's error codes, under Kafka's names.

use std::fmt;

macro_rules! codes {
    ($($name:ident = $code:literal, $kafka:literal, $retriable:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $kafka] pub const $name: Self = Self($code);)*

            /// Kafka's name of the code; `UNKNOWN_SERVER_ERROR` for one that is not known here.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($code => $kafka,)*
                    _ => "UNKNOWN_SERVER_ERROR",
                }
            }

            /// Whether trying again may help.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self.0 {
                    $($code => $retriable,)*
                    _ => false,
                }
            }

            /// Every code that has a name here.
            #[must_use]
            pub fn all() -> Vec<Self> {
                vec![$(Self($code)),*]
            }
        }
    };
}

/// A code as it stands on the wire; codes of the future keep their number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ErrorCode(pub i16);

codes! {
    UNKNOWN_SERVER_ERROR = -1, "UNKNOWN_SERVER_ERROR", false;
    NONE = 0, "NONE", false;
    OFFSET_OUT_OF_RANGE = 1, "OFFSET_OUT_OF_RANGE", false;
    CORRUPT_MESSAGE = 2, "CORRUPT_MESSAGE", true;
    UNKNOWN_TOPIC_OR_PARTITION = 3, "UNKNOWN_TOPIC_OR_PARTITION", true;
    INVALID_FETCH_SIZE = 4, "INVALID_FETCH_SIZE", false;
    LEADER_NOT_AVAILABLE = 5, "LEADER_NOT_AVAILABLE", true;
    NOT_LEADER_OR_FOLLOWER = 6, "NOT_LEADER_OR_FOLLOWER", true;
    REQUEST_TIMED_OUT = 7, "REQUEST_TIMED_OUT", true;
    BROKER_NOT_AVAILABLE = 8, "BROKER_NOT_AVAILABLE", false;
    REPLICA_NOT_AVAILABLE = 9, "REPLICA_NOT_AVAILABLE", true;
    MESSAGE_TOO_LARGE = 10, "MESSAGE_TOO_LARGE", false;
    STALE_CONTROLLER_EPOCH = 11, "STALE_CONTROLLER_EPOCH", false;
    OFFSET_METADATA_TOO_LARGE = 12, "OFFSET_METADATA_TOO_LARGE", false;
    NETWORK_EXCEPTION = 13, "NETWORK_EXCEPTION", true;
    COORDINATOR_LOAD_IN_PROGRESS = 14, "COORDINATOR_LOAD_IN_PROGRESS", true;
    COORDINATOR_NOT_AVAILABLE = 15, "COORDINATOR_NOT_AVAILABLE", true;
    NOT_COORDINATOR = 16, "NOT_COORDINATOR", true;
    INVALID_TOPIC_EXCEPTION = 17, "INVALID_TOPIC_EXCEPTION", false;
    RECORD_LIST_TOO_LARGE = 18, "RECORD_LIST_TOO_LARGE", false;
    NOT_ENOUGH_REPLICAS = 19, "NOT_ENOUGH_REPLICAS", true;
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", true;
    INVALID_REQUIRED_ACKS = 21, "INVALID_REQUIRED_ACKS", false;
    ILLEGAL_GENERATION = 22, "ILLEGAL_GENERATION", false;
    INCONSISTENT_GROUP_PROTOCOL = 23, "INCONSISTENT_GROUP_PROTOCOL", false;
    INVALID_GROUP_ID = 24, "INVALID_GROUP_ID", false;
    UNKNOWN_MEMBER_ID = 25, "UNKNOWN_MEMBER_ID", false;
    INVALID_SESSION_TIMEOUT = 26, "INVALID_SESSION_TIMEOUT", false;
    REBALANCE_IN_PROGRESS = 27, "REBALANCE_IN_PROGRESS", false;
    INVALID_COMMIT_OFFSET_SIZE = 28, "INVALID_COMMIT_OFFSET_SIZE", false;
    TOPIC_AUTHORIZATION_FAILED = 29, "TOPIC_AUTHORIZATION_FAILED", false;
    GROUP_AUTHORIZATION_FAILED = 30, "GROUP_AUTHORIZATION_FAILED", false;
    CLUSTER_AUTHORIZATION_FAILED = 31, "CLUSTER_AUTHORIZATION_FAILED", false;
    INVALID_TIMESTAMP = 32, "INVALID_TIMESTAMP", false;
    UNSUPPORTED_SASL_MECHANISM = 33, "UNSUPPORTED_SASL_MECHANISM", false;
    ILLEGAL_SASL_STATE = 34, "ILLEGAL_SASL_STATE", false;
    UNSUPPORTED_VERSION = 35, "UNSUPPORTED_VERSION", false;
    TOPIC_ALREADY_EXISTS = 36, "TOPIC_ALREADY_EXISTS", false;
    INVALID_PARTITIONS = 37, "INVALID_PARTITIONS", false;
    INVALID_REPLICATION_FACTOR = 38, "INVALID_REPLICATION_FACTOR", false;
    INVALID_REPLICA_ASSIGNMENT = 39, "INVALID_REPLICA_ASSIGNMENT", false;
    INVALID_CONFIG = 40, "INVALID_CONFIG", false;
    NOT_CONTROLLER = 41, "NOT_CONTROLLER", true;
    INVALID_REQUEST = 42, "INVALID_REQUEST", false;
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", false;
    POLICY_VIOLATION = 44, "POLICY_VIOLATION", false;
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false;
    DUPLICATE_SEQUENCE_NUMBER = 46, "DUPLICATE_SEQUENCE_NUMBER", false;
    INVALID_PRODUCER_EPOCH = 47, "INVALID_PRODUCER_EPOCH", false;
    INVALID_TXN_STATE = 48, "INVALID_TXN_STATE", false;
    INVALID_PRODUCER_ID_MAPPING = 49, "INVALID_PRODUCER_ID_MAPPING", false;
    INVALID_TRANSACTION_TIMEOUT = 50, "INVALID_TRANSACTION_TIMEOUT", false;
    CONCURRENT_TRANSACTIONS = 51, "CONCURRENT_TRANSACTIONS", true;
    TRANSACTION_COORDINATOR_FENCED = 52, "TRANSACTION_COORDINATOR_FENCED", false;
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", false;
    SECURITY_DISABLED = 54, "SECURITY_DISABLED", false;
    OPERATION_NOT_ATTEMPTED = 55, "OPERATION_NOT_ATTEMPTED", false;
    KAFKA_STORAGE_ERROR = 56, "KAFKA_STORAGE_ERROR", true;
    LOG_DIR_NOT_FOUND = 57, "LOG_DIR_NOT_FOUND", false;
    SASL_AUTHENTICATION_FAILED = 58, "SASL_AUTHENTICATION_FAILED", false;
    UNKNOWN_PRODUCER_ID = 59, "UNKNOWN_PRODUCER_ID", false;
    REASSIGNMENT_IN_PROGRESS = 60, "REASSIGNMENT_IN_PROGRESS", false;
    NON_EMPTY_GROUP = 68, "NON_EMPTY_GROUP", false;
    GROUP_ID_NOT_FOUND = 69, "GROUP_ID_NOT_FOUND", false;
    FETCH_SESSION_ID_NOT_FOUND = 70, "FETCH_SESSION_ID_NOT_FOUND", true;
    INVALID_FETCH_SESSION_EPOCH = 71, "INVALID_FETCH_SESSION_EPOCH", true;
    LISTENER_NOT_FOUND = 72, "LISTENER_NOT_FOUND", true;
    TOPIC_DELETION_DISABLED = 73, "TOPIC_DELETION_DISABLED", false;
    FENCED_LEADER_EPOCH = 74, "FENCED_LEADER_EPOCH", true;
    UNKNOWN_LEADER_EPOCH = 75, "UNKNOWN_LEADER_EPOCH", true;
    UNSUPPORTED_COMPRESSION_TYPE = 76, "UNSUPPORTED_COMPRESSION_TYPE", false;
    STALE_BROKER_EPOCH = 77, "STALE_BROKER_EPOCH", false;
    OFFSET_NOT_AVAILABLE = 78, "OFFSET_NOT_AVAILABLE", true;
    MEMBER_ID_REQUIRED = 79, "MEMBER_ID_REQUIRED", false;
    GROUP_MAX_SIZE_REACHED = 81, "GROUP_MAX_SIZE_REACHED", false;
    FENCED_INSTANCE_ID = 82, "FENCED_INSTANCE_ID", false;
    THROTTLING_QUOTA_EXCEEDED = 84, "THROTTLING_QUOTA_EXCEEDED", true;
    GROUP_SUBSCRIBED_TO_TOPIC = 86, "GROUP_SUBSCRIBED_TO_TOPIC", false;
    INVALID_RECORD = 87, "INVALID_RECORD", false;
    UNSTABLE_OFFSET_COMMIT = 88, "UNSTABLE_OFFSET_COMMIT", true;
    PRODUCER_FENCED = 90, "PRODUCER_FENCED", false;
    RESOURCE_NOT_FOUND = 91, "RESOURCE_NOT_FOUND", false;
    UNKNOWN_TOPIC_ID = 100, "UNKNOWN_TOPIC_ID", true;
    DUPLICATE_BROKER_REGISTRATION = 101, "DUPLICATE_BROKER_REGISTRATION", false;
    INCONSISTENT_TOPIC_ID = 103, "INCONSISTENT_TOPIC_ID", true;
    TRANSACTIONAL_ID_NOT_FOUND = 105, "TRANSACTIONAL_ID_NOT_FOUND", false;
    FETCH_SESSION_TOPIC_ID_ERROR = 106, "FETCH_SESSION_TOPIC_ID_ERROR", true;
    STALE_MEMBER_EPOCH = 112, "STALE_MEMBER_EPOCH", false;
    UNKNOWN_SUBSCRIPTION_ID = 113, "UNKNOWN_SUBSCRIPTION_ID", false;
    TRANSACTION_ABORTABLE = 120, "TRANSACTION_ABORTABLE", false;
}

impl ErrorCode {
    /// Whether this is no error.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// `Ok` for no error.
    ///
    /// # Errors
    /// Itself, when it is one.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_none() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ErrorCode {}
