//! The sinks against their contract and against real files.

#[cfg(test)]
mod differential;
#[cfg(test)]
mod sqlite;
