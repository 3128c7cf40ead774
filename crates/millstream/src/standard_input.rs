//! Standard input, read by a thread of its own: the terminal blocks whoever reads it.

use std::io::{self, Read as _};

use bytes::Bytes;
use runtime::channel::{Receiver, mailbox};
use runtime::thread;

/// Bytes read at once: a pipe holds as many.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces that wait to be taken; then the reader waits, and so does whoever writes into the pipe.
const PIECES_WAITING_MAX: usize = 16;

/// What came.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    Failed(io::Error),
}

/// Starts to read; the mailbox ends with the input.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn start() -> io::Result<Receiver<Piece>> {
    let (sender, receiver) = mailbox(PIECES_WAITING_MAX);
    // Nobody joins it: a read of a terminal cannot be interrupted, the end of the process ends it.
    let thread = thread::spawn("standard input", move || {
        let mut input = io::stdin().lock();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let message = match input.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => Piece::Bytes(Bytes::copy_from_slice(&piece[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Piece::Failed(error),
            };
            let is_last = matches!(message, Piece::Failed(_));
            if sender.blocking_send(message).is_err() || is_last {
                return;
            }
        }
    })?;
    drop(thread);
    Ok(receiver)
}
