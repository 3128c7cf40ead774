//! The way in: our listener, as axum wants it.

use std::io;
use std::net::SocketAddr;

use axum::serve::Listener;
use runtime::stream::plain::{PlainListener, PlainStream};

/// Lets a limited number of connections in.
#[derive(Debug)]
pub(crate) struct Door(pub(crate) PlainListener);

impl Listener for Door {
    type Io = PlainStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.0.address())
    }
}
