//! A file on its way from a host.

use futures::stream::BoxStream;

use super::Result;

/// The content of a file, piece by piece. See [`super::World::stream_file`].
pub struct FileStream {
    /// Bytes of the whole file when it was opened.
    pub size: u64,
    /// The content, from its start.
    pub pieces: BoxStream<'static, Result<Vec<u8>>>,
}
