//! A client of bytes: one connection, requests in versions of the test's choice.

use base::chunk::Chunk;
use bytes::Bytes;
use protocol::api::{ApiKey, Request};
use protocol::header::{RequestHeader, ResponseHeader};
use protocol::wire::{Message as _, Reader, Writer};
use runtime::stream::{Connection, FrameReader, FrameWriter};

/// Largest answer that a test reads.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// One connection.
#[derive(Debug)]
pub struct Wire {
    reader: FrameReader,
    writer: FrameWriter,
    sent: i32,
}

impl Wire {
    /// Speaks over this connection.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        let (reader, writer) = connection.split();
        Self { reader, writer, sent: 0 }
    }

    /// Sends a request without waiting for its answer; gives its number.
    ///
    /// # Panics
    /// When it cannot be encoded or sent.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.sent += 1;
        let mut writer = head(R::KEY, version, self.sent);
        request.encode(&mut writer, version).expect("the request fits its version");
        self.writer.write(&writer.finish()).await.expect("the connection takes requests");
        self.sent
    }

    /// Sends the bytes as one frame.
    ///
    /// # Panics
    /// When they cannot be sent.
    pub async fn send_bytes(&mut self, frame: Bytes) {
        self.writer.write(&[Chunk::Bytes(frame)]).await.expect("the connection takes frames");
    }

    /// The next answer's bytes; `None` when the broker has closed the connection.
    pub async fn frame(&mut self) -> Option<Bytes> {
        // A connection that was reset has been closed as well.
        self.reader.read(FRAME_BYTES_MAX).await.unwrap_or(None)
    }

    /// The next answer, with the number of the request that it belongs to.
    ///
    /// # Panics
    /// When the connection is closed or the answer cannot be read.
    pub async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        self.try_receive::<R>(version).await.expect("the broker answers")
    }

    /// As [`Self::receive`]; `None` when the broker has closed the connection.
    ///
    /// # Panics
    /// When the answer cannot be read.
    pub async fn try_receive<R: Request>(&mut self, version: i16) -> Option<(i32, R::Response)> {
        let frame = self.frame().await?;
        let mut reader = Reader::new(&frame);
        let header_version = R::KEY.response_header_version(version);
        let header = ResponseHeader::decode(&mut reader, header_version)
            .expect("the answer begins with a header");
        let response = R::Response::decode(&mut reader, version).expect("the answer can be read");
        reader.finish().expect("nothing follows the answer");
        Some((header.correlation_id, response))
    }

    /// Asks and waits for the answer.
    ///
    /// # Panics
    /// As [`Self::send`] and [`Self::receive`], and when the answer belongs to another request.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (number, response) = self.receive::<R>(version).await;
        assert_eq!(number, sent, "the answer belongs to another request");
        response
    }
}

/// A frame that begins with this request's header.
///
/// # Panics
/// Never: the header always fits.
#[must_use]
pub fn head(key: ApiKey, api_version: i16, correlation_id: i32) -> Writer {
    let client_id = Some("test".to_owned());
    let header = RequestHeader { api_key: key.code(), api_version, correlation_id, client_id };
    let mut writer = Writer::new();
    header.encode(key, &mut writer).expect("the header fits");
    writer
}
