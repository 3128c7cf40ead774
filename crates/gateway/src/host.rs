//! The sensors of this machine: processors, memory, disks, networks, load, temperatures.
//!
//! [`source`] asks the operating system, [`reading`] turns what it said into readings without
//! asking anything, [`service`] does both on time and sends the result.

pub mod json;
pub mod options;
pub mod reading;
pub mod sample;
pub mod service;
pub mod source;

pub use crate::host::options::HostOptions;
pub use crate::host::reading::Reading;
pub use crate::host::service::HostService;
pub use crate::host::source::HostSource;
