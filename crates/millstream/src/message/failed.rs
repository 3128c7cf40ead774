//! Errors of the rooms below, turned into what a person is told.

use broker::Error as BrokerError;
use client::ClientError;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;

use super::{Exit, Failure, codes};
use crate::config::Settings;

/// What a broker speaks that has transactions.
const TRANSACTIONS: [ApiKey; 5] = [
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
];

/// A broker that does not start.
pub(crate) fn broker(error: &BrokerError) -> Failure {
    match error {
        BrokerError::Listen { address, cause } => listen(*address, cause),
        BrokerError::FolderInUse { dir, pid } => {
            let holder =
                pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            let served = pid.and_then(crate::host::address_of);
            let served = served.unwrap_or_else(|| "127.0.0.1:9092".to_owned());
            let what = format!("the data folder {} is in use by {holder}", dir.display());
            Failure::new(Exit::Failed, codes::FOLDER_IN_USE, what)
                .help(format!("use the log that it serves with -b {served}"))
                .help("take another folder with --data DIR")
        }
        BrokerError::Folder { path, cause } => {
            let what = format!("the data folder cannot be used: {}: {cause}", path.display());
            Failure::new(Exit::Failed, codes::FOLDER_UNUSABLE, what)
                .help("choose a folder that can be written with --data DIR")
        }
        BrokerError::Thread(_) => machine(error),
        _ => Failure::new(Exit::Failed, codes::LOG_UNUSABLE, error.to_string()),
    }
}

/// Something that the operating system refused.
pub(crate) fn machine(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, codes::MACHINE, error.to_string())
}

fn listen(address: std::net::SocketAddr, cause: &std::io::Error) -> Failure {
    if cause.kind() != std::io::ErrorKind::AddrInUse {
        let what = format!("cannot listen on {address}: {cause}");
        return Failure::new(Exit::Failed, codes::CANNOT_LISTEN, what);
    }
    let holder = crate::host::listener_on(address.port())
        .map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
    let what = format!("port {} is taken by {holder}", address.port());
    Failure::new(Exit::Failed, codes::PORT_TAKEN, what)
        .help(format!("use what listens there with -b {address}"))
        .help(format!("take a free port with --listen {}:0", address.ip()))
}

/// The address of the pages cannot be listened on.
pub(crate) fn pages(address: std::net::SocketAddr, cause: &std::io::Error) -> Failure {
    if cause.kind() != std::io::ErrorKind::AddrInUse {
        let what = format!("cannot listen on {address}: {cause}");
        return Failure::new(Exit::Failed, codes::CANNOT_LISTEN, what)
            .help("serve no metrics and no health checks with --http off");
    }
    let holder = crate::host::listener_on(address.port())
        .map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
    let what = format!("port {} is taken by {holder}", address.port());
    Failure::new(Exit::Failed, codes::PORT_TAKEN, what)
        .help(format!("take a free port with --http {}:0", address.ip()))
        .help("serve no metrics and no health checks with --http off")
}

/// An error of the client, with what the settings have to do with it.
pub(crate) fn client(error: &ClientError, settings: &Settings) -> Failure {
    let what = error.to_string();
    match error {
        ClientError::Unreachable { .. } => {
            Failure::new(Exit::Unreachable, codes::UNREACHABLE, what)
                .fact(source_of_brokers(settings))
                .help("start one with `millstream up`")
                .help("point elsewhere with `-b host:port`")
        }
        ClientError::NotKafka { .. } => Failure::new(Exit::Unreachable, codes::NOT_KAFKA, what)
            .fact(source_of_brokers(settings))
            .help("check the port: Kafka usually listens on 9092"),
        ClientError::ClosedAtOnce { .. } => {
            Failure::new(Exit::Unreachable, codes::PROBABLY_TLS, what)
                .fact(source_of_brokers(settings))
                .help("use the port of a PLAINTEXT listener; this version speaks no TLS")
        }
        ClientError::AdvertisedUnreachable { node, host, port, cause } => {
            advertised(settings, format!("{host}:{port} (broker {node})  {cause}"))
        }
        ClientError::TimedOut { .. } => Failure::new(Exit::TimedOut, codes::TIMED_OUT, what)
            .help("wait longer with --timeout 60s"),
        ClientError::DeliveryTimedOut { .. } => {
            Failure::new(Exit::TimedOut, codes::NOT_DELIVERED, what)
        }
        ClientError::Disconnected { .. } => {
            Failure::new(Exit::Unreachable, codes::NOT_DELIVERED, what)
                .help("try again: the broker may be restarting")
        }
        ClientError::UnknownTopic { topic } => {
            let create = format!("create it with `millstream topic create {topic}`");
            Failure::new(Exit::Failed, codes::UNKNOWN_TOPIC, what)
                .help(create)
                .help("see what there is with `millstream topic list`")
        }
        ClientError::UnknownPartition { .. } => {
            Failure::new(Exit::Failed, codes::UNKNOWN_TOPIC, what)
        }
        ClientError::TopicExists { .. } => Failure::new(Exit::Failed, codes::TOPIC_EXISTS, what),
        ClientError::OffsetOutOfRange { topic, partition, offset, log_start, high_watermark } => {
            let what = format!("offset {offset} of {topic}-{partition} is not in the log");
            let failure = Failure::new(Exit::Failed, codes::OUT_OF_RANGE, what)
                .help("read from the first record that is left with `-o start`");
            // Not every broker tells how far its log reaches.
            if *log_start < 0 || *high_watermark < 0 {
                return failure;
            }
            failure.fact(format!("the log holds {log_start} to {high_watermark}"))
        }
        ClientError::Unsupported { api } if TRANSACTIONS.contains(api) => {
            Failure::new(Exit::Failed, codes::NO_TRANSACTIONS, "the broker has no transactions")
                .fact(format!("{what}; nothing was read or written"))
                .fact(source_of_brokers(settings))
                .help("point to a broker that has them with `-b host:port`: Kafka since 0.11 does")
        }
        ClientError::Unsupported { .. } => Failure::new(Exit::Failed, codes::UNSUPPORTED, what),
        ClientError::Record { .. } => Failure::new(Exit::Failed, codes::DAMAGED_BATCH, what),
        ClientError::Refused { code, .. } if *code == ErrorCode::INVALID_TRANSACTION_TIMEOUT => {
            let told = "the broker allows only transactions that are shorter than ours";
            Failure::new(Exit::Failed, codes::TRANSACTION_TIMEOUT, told)
                .fact(format!("{what}; nothing was read or written"))
                .help("set transaction.max.timeout.ms on the broker to 10000 or more")
        }
        ClientError::Refused { code, .. } => refused(*code, what),
        _ => Failure::new(Exit::Failed, codes::REFUSED, what),
    }
}

fn advertised(settings: &Settings, advertised: String) -> Failure {
    let what = "the broker answered, then sent us to an address that does not work";
    let bootstrap = settings.text("brokers").unwrap_or("127.0.0.1:9092");
    Failure::new(Exit::Unreachable, codes::ADVERTISED_UNREACHABLE, what)
        .fact(format!("bootstrap   {bootstrap}  connected"))
        .fact(format!("advertised  {advertised}"))
        .fact("why: clients must reach the advertised address, not only the bootstrap one")
        .help(format!("on the broker set advertised.listeners=PLAINTEXT://{bootstrap}"))
        .help("let the advertised name lead here, in /etc/hosts, for a quick test")
}

fn refused(code: ErrorCode, what: String) -> Failure {
    let denied = [
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ErrorCode::SASL_AUTHENTICATION_FAILED,
    ];
    if denied.contains(&code) {
        return Failure::new(Exit::NotAuthorised, codes::NOT_AUTHORISED, what);
    }
    let exit = if code.is_retriable() { Exit::TryAgain } else { Exit::Failed };
    Failure::new(exit, codes::REFUSED, what)
}

fn source_of_brokers(settings: &Settings) -> String {
    settings.found("brokers").map_or_else(
        || "value came from: what is built in (-b and MILLSTREAM_BROKERS not given)".to_owned(),
        |found| format!("value came from: {}", found.origin),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exit_of(error: &ClientError) -> (Exit, Option<&'static str>) {
        let failure = client(error, &Settings::default());
        (failure.exit, failure.code)
    }

    fn refusal(code: ErrorCode) -> ClientError {
        let subject = "t".to_owned();
        ClientError::Refused { api: ApiKey::Produce, subject, code, message: None }
    }

    #[test]
    fn exits_tell_scripts_what_to_do() {
        let denied = refusal(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        assert_eq!(exit_of(&denied), (Exit::NotAuthorised, Some(codes::NOT_AUTHORISED)));
        let moving = refusal(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(exit_of(&moving), (Exit::TryAgain, Some(codes::REFUSED)));
        let wrong = refusal(ErrorCode::INVALID_TOPIC_EXCEPTION);
        assert_eq!(exit_of(&wrong), (Exit::Failed, Some(codes::REFUSED)));
        let late = ClientError::TimedOut { what: "Metadata", after: Duration::from_secs(1) };
        assert_eq!(exit_of(&late), (Exit::TimedOut, Some(codes::TIMED_OUT)));
        let gone = ClientError::Disconnected { peer: "a:1".to_owned() };
        assert_eq!(exit_of(&gone).0, Exit::Unreachable);
    }
}
