//! What precedes every request and response.

use crate::api::ApiKey;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// The first fields of a request, which can be read whatever its key and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Number of the API.
    pub api_key: i16,
    /// Version of the request.
    pub api_version: i16,
    /// Comes back with the answer.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header. For a key or version that is not spoken only the first fields are read,
    /// because nobody knows what follows; `client_id` is `None` then.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let api_key = reader.int16()?;
        let api_version = reader.int16()?;
        let correlation_id = reader.int32()?;
        let mut header = Self { api_key, api_version, correlation_id, client_id: None };
        let Some(key) = ApiKey::from_i16(api_key).filter(|key| key.speaks(api_version)) else {
            return Ok(header);
        };
        // The client id keeps its classic length even in the flexible header (KIP-482).
        header.client_id = reader.nullable_string(false)?;
        if key.request_header_version(api_version) == 2 {
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok(header)
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, key: ApiKey, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.int16(self.api_key);
        writer.int16(self.api_version);
        writer.int32(self.correlation_id);
        writer.string(self.client_id.as_deref(), false)?;
        if key.request_header_version(self.api_version) == 2 {
            writer.tagged_fields(&[])?;
        }
        Ok(())
    }
}

/// What precedes a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header in version 0 or 1.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let correlation_id = reader.int32()?;
        if version >= 1 {
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok(Self { correlation_id })
    }

    /// Writes the header in version 0 or 1.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        writer.int32(self.correlation_id);
        if version >= 1 {
            writer.tagged_fields(&[])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_versions_come_back() {
        for (key, version) in [(ApiKey::Metadata, 1), (ApiKey::Metadata, 12)] {
            let header = RequestHeader {
                api_key: key.code(),
                api_version: version,
                correlation_id: 7,
                client_id: Some("me".to_owned()),
            };
            let mut writer = Writer::new();
            header.encode(key, &mut writer).unwrap();
            let frame = writer.into_bytes();
            let mut reader = Reader::new(&frame);
            assert_eq!(RequestHeader::decode(&mut reader), Ok(header));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn the_answer_to_api_versions_never_has_a_flexible_header() {
        assert_eq!(ApiKey::ApiVersions.response_header_version(4), 0);
        assert_eq!(ApiKey::Metadata.response_header_version(12), 1);
    }
}
