//! A blocking HTTPS client with every knob the transcripts turn: SNI, Host, credentials, client certificate.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    /// Name in the TLS handshake.
    pub(crate) sni: Option<String>,
    /// Host header.
    pub(crate) host: Option<String>,
    /// Basic authentication.
    pub(crate) basic: Option<String>,
    /// Certificate and key, PEM.
    pub(crate) identity: Option<(String, String)>,
    pub(crate) path: String,
    /// Body of a POST.
    pub(crate) body: Option<String>,
}

impl Ask {
    /// A GET of :6443.
    pub(crate) fn get(address: Ipv4Addr, path: &str) -> Self {
        Self {
            address,
            port: 6443,
            sni: None,
            host: None,
            basic: None,
            identity: None,
            path: path.to_owned(),
            body: None,
        }
    }

    fn open(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believe(provider)));
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    CertificateDer::pem_slice_iter(certificate.as_bytes())
                        .collect::<Result<_, _>>()
                        .unwrap(),
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        let name = match &self.sni {
            Some(name) => ServerName::try_from(name.clone()).unwrap(),
            None => ServerName::IpAddress(IpAddr::V4(self.address).into()),
        };
        let tcp = TcpStream::connect_timeout(
            &SocketAddr::new(self.address.into(), self.port),
            Duration::from_secs(5),
        )
        .unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
    }

    fn send(&self, close: bool) -> StreamOwned<ClientConnection, TcpStream> {
        let mut stream = self.open();
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let own = SocketAddr::new(self.address.into(), self.port).to_string();
        let mut head = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\n",
            self.path,
            self.host.as_deref().unwrap_or(&own)
        );
        if let Some(credentials) = &self.basic {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(credentials);
            head.push_str(&format!("Authorization: Basic {text}\r\n"));
        }
        let body = self.body.clone().unwrap_or_default();
        if close {
            head.push_str("Connection: close\r\n");
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    /// The answer.
    pub(crate) fn answer(&self) -> Answer {
        let mut stream = self.send(true);
        let mut bytes = Vec::new();
        // A peer that hangs up without a TLS goodbye has still said everything.
        drop(stream.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        Answer {
            status,
            body: body.to_owned(),
        }
    }

    /// Lines of a streamed answer, as they come.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let reader = BufReader::new(self.send(false));
        reader
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.starts_with('{'))
    }

    /// Only shakes hands.
    pub(crate) fn handshake(&self) -> Certificate {
        let mut stream = self.open();
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Certificate::read(&stream.conn.peer_certificates().unwrap()[0])
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// What tests look at in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) serial: String,
    pub(crate) names: Vec<String>,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Certificate {
    /// Parses DER.
    pub(crate) fn read(der: &[u8]) -> Self {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        let names = certificate
            .subject_alternative_name()
            .unwrap()
            .map(|extension| {
                let names = &extension.value.general_names;
                names
                    .iter()
                    .map(|name| {
                        if let GeneralName::DNSName(name) = name {
                            (*name).to_owned()
                        } else if let GeneralName::IPAddress(octets) = name {
                            Ipv4Addr::from(<[u8; 4]>::try_from(*octets).unwrap()).to_string()
                        } else {
                            panic!("unexpected name {name:?}")
                        }
                    })
                    .collect()
            });
        Self {
            serial: certificate.raw_serial_as_string(),
            names: names.unwrap_or_default(),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        }
    }

    /// Parses the first certificate of a PEM text.
    pub(crate) fn of_pem(pem: &str) -> Self {
        Self::read(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
    }
}

#[derive(Debug)]
struct Believe(Arc<CryptoProvider>);

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
