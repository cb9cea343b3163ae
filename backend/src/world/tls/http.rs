//! One HTTPS request without credentials.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::super::{Result, WorldError};
use super::{Ask, HttpAnswer, TlsTarget, handshake};

/// For the answer, once connected.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer taken.
const MAX_BODY: usize = 1024 * 1024;

/// See [`super::super::World::http_get`].
pub(in super::super) async fn get(target: &TlsTarget, path: &str) -> Result<HttpAnswer> {
    let (stream, chain) = handshake::connect(target).await?;
    let odd = |detail: String| WorldError::Tls {
        endpoint: target.endpoint(),
        detail,
    };
    // With `Ask::Host` the certificate is only about to be re-issued for that name: nothing is expected of it yet.
    if let (Some(Err(reason)), Ask::Plain | Ask::Sni(_)) = (&chain.verified, &target.ask) {
        return Err(odd(format!("the certificate does not verify: {reason}")));
    }
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| odd(e.to_string()))?;
        let request = hyper::Request::get(path)
            .header(HOST, host_header(target))
            .header(USER_AGENT, "coxswain")
            .header(ACCEPT, "*/*")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|e| WorldError::InvalidInput {
                what: "request".to_owned(),
                detail: e.to_string(),
            })?;
        let answer = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|e| odd(e.to_string()))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|e| odd(format!("the answer broke off: {e}")))?;
            Ok((status, body.to_bytes().to_vec()))
        };
        // The connection is driven beside the exchange; how it is closed afterwards does not matter.
        let (answer, _) = futures::future::join(answer, connection).await;
        answer
    };
    match timeout(TIMEOUT, exchange).await {
        Ok(answer) => answer.map(|(status, body)| HttpAnswer {
            status,
            body,
            chain,
        }),
        Err(_) => Err(odd(format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}

/// With the port, unless it is 443, as browsers and curl do.
fn host_header(target: &TlsTarget) -> String {
    let name = match &target.ask {
        Ask::Plain => &target.address,
        Ask::Sni(name) | Ask::Host(name) => name,
    };
    let bracketed = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.clone()
    };
    if target.port == 443 {
        bracketed
    } else {
        format!("{bracketed}:{}", target.port)
    }
}
