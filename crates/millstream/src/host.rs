//! This machine, as /proc tells it: who listens on a port, what a process has used.

use std::fmt;
use std::fs;

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

/// Who listens on a TCP port, where the system tells.
pub(crate) fn listener_on(port: u16) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables.iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| listening_inode(line, port).map(str::to_owned))
    })?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(process.path().join("fd")).ok()?;
        let is_holder = open
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == wanted.as_str());
        let name = || fs::read_to_string(process.path().join("comm")).ok();
        is_holder.then(|| Holder { pid, name: name().unwrap_or_default().trim().to_owned() })
    })
}

/// The inode of a line of /proc/net/tcp when it listens on this port.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = words.get(1)?.rsplit_once(':')?;
    let is_ours = u16::from_str_radix(local_port, 16).ok()? == port;
    (is_ours && *words.get(3)? == LISTENING).then(|| words.get(9).copied())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_line_gives_its_inode() {
        let line = "   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 31415 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening_inode(line, 9092), Some("31415"));
        assert_eq!(listening_inode(line, 9093), None);
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 "), 9092), None);
        assert_eq!(listening_inode("   0: 0100007F", 9092), None);
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = listener_on(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }
}
