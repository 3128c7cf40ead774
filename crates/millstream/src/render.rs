//! What people see, as pure functions from plain data to text: the live view, the line of those
//! who have no terminal, the summary, and tables.

pub(crate) mod frame;
pub(crate) mod letters;
pub(crate) mod lists;
pub(crate) mod numbers;
pub(crate) mod plain;
pub(crate) mod table;
pub(crate) mod view;
