//! Bodies: whole ones, and ones fed through a bounded channel (watches).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc;

/// What every response of ours carries.
pub(crate) type AnyBody = BoxBody<Bytes, Infallible>;

/// A body that is known whole.
pub(crate) fn full(content: impl Into<Bytes>) -> AnyBody {
    Full::new(content.into()).boxed()
}

/// A body that ends when its sender is dropped.
pub(crate) fn channel(capacity: usize) -> (mpsc::Sender<Bytes>, AnyBody) {
    let (sender, receiver) = mpsc::channel(capacity);
    (sender, ChannelBody { receiver }.boxed())
}

struct ChannelBody {
    receiver: mpsc::Receiver<Bytes>,
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.receiver
            .poll_recv(context)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
