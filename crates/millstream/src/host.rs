//! This machine, as /proc tells it: who listens on a port, what a process has used.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;

/// State of a listening socket in /proc/net/tcp.
const LISTENING: &str = "0A";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// A socket that listens on an IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listening {
    address: Ipv4Addr,
    port: u16,
    inode: String,
}

/// Who listens on a TCP port, where the system tells.
pub(crate) fn listener_on(port: u16) -> Option<Holder> {
    let sockets = listening();
    let inode = &sockets.iter().find(|socket| socket.port == port)?.inode;
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let name = || fs::read_to_string(process.path().join("comm")).ok();
        let is_holder = sockets_of(pid).contains(inode);
        is_holder.then(|| Holder { pid, name: name().unwrap_or_default().trim().to_owned() })
    })
}

/// The address of the log that a process serves, where the system tells: what it began to listen
/// on last, because the pages come before it (`console::bind`).
pub(crate) fn address_of(pid: u32) -> Option<String> {
    let (own, sockets) = (sockets_of(pid), listening());
    let found = own.iter().rev().find_map(|own| sockets.iter().find(|it| it.inode == *own))?;
    let address = match found.address {
        Ipv4Addr::UNSPECIFIED => Ipv4Addr::LOCALHOST,
        address => address,
    };
    Some(format!("{address}:{}", found.port))
}

fn listening() -> Vec<Listening> {
    // IPv6 sockets have longer addresses, which nothing here shows; their ports are told apart.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    texts.flat_map(|text| text.lines().filter_map(listening_socket).collect::<Vec<_>>()).collect()
}

/// The inodes of the sockets that a process holds, in the order of their descriptors, as far as we
/// may look.
fn sockets_of(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let number = |path: &std::path::Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut paths: Vec<_> = open.map(|it| it.path()).collect();
    paths.sort_by_key(|path| number(path));
    let targets = paths.into_iter().filter_map(|path| fs::read_link(path).ok());
    let inode = |target: std::path::PathBuf| {
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    targets.filter_map(inode).collect()
}

/// A line of /proc/net/tcp that listens. Its address is a number of this machine's byte order.
fn listening_socket(line: &str) -> Option<Listening> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = words.get(1)?.rsplit_once(':')?;
    let address = u32::from_str_radix(address, 16).map_or([0; 4], u32::to_ne_bytes);
    let port = u16::from_str_radix(port, 16).ok()?;
    let inode = (*words.get(9)?).to_owned();
    (*words.get(3)? == LISTENING).then(|| Listening { address: address.into(), port, inode })
}

/// Whether a process runs that is this program.
pub(crate) fn is_ours(pid: u32) -> bool {
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    name(pid).is_some_and(|found| Some(found) == name(std::process::id()))
}

/// The machine's name, for people.
pub(crate) fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "this machine".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_line_is_read() {
        let line = "   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 31415 1 0000000000000000 100 0 0 10 0";
        let expected =
            Listening { address: Ipv4Addr::LOCALHOST, port: 9092, inode: "31415".to_owned() };
        assert_eq!(listening_socket(line), Some(expected));
        assert_eq!(listening_socket(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening_socket("   0: 0100007F"), None);
        assert_eq!(
            listening_socket("  sl  local_address rem_address   st tx_queue rx_queue"),
            None
        );
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = listener_on(address.port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!sockets_of(holder.pid).is_empty());
        assert!(address_of(holder.pid).unwrap().starts_with("127.0.0.1:"));
    }
}
