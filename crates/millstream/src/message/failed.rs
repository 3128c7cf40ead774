//! Errors of the rooms below, turned into what a person is told.

use broker::Error as BrokerError;

use super::{Exit, Failure, codes};

/// A broker that does not start.
pub(crate) fn broker(error: &BrokerError) -> Failure {
    match error {
        BrokerError::Listen { address, cause } => listen(*address, cause),
        BrokerError::FolderInUse { dir, pid } => {
            let holder =
                pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            let what = format!("the data folder {} is in use by {holder}", dir.display());
            Failure::new(Exit::Failed, codes::FOLDER_IN_USE, what)
                .help("use the log that it serves with -b 127.0.0.1:9092")
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
