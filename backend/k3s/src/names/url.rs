//! Addresses of things fetched or joined: installer URL, server URL, absolute paths on a host.

use std::str::FromStr;

use super::{Address, NameError, checked_text, invisible};

checked_text!(
    /// An `http://` or `https://` URL without user, password or fragment, made of characters that need no
    /// quoting anywhere.
    HttpUrl, "URL", check_http_url
);
checked_text!(
    /// An absolute path on a host, without `..`, control characters or a trailing slash.
    AbsPath, "absolute path", check_abs_path
);

impl AbsPath {
    /// The part after the last slash.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.as_str().rsplit('/').next().unwrap_or_default()
    }
}

/// Where a node joins or a client connects: always HTTPS, `https://<address>:<port>`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl {
    address: Address,
    port: u16,
}

impl ServerUrl {
    /// k3s's port for API and supervisor.
    pub const DEFAULT_PORT: u16 = 6443;

    /// A server at `address`, on `port`.
    #[must_use]
    pub fn new(address: Address, port: u16) -> Self {
        ServerUrl { address, port }
    }

    /// Address without port.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}", self.address.with_port(self.port))
    }
}

impl FromStr for ServerUrl {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: String| NameError::new("server URL", text, reason);
        let rest = text
            .strip_prefix("https://")
            .ok_or_else(|| wrong("it must start with https://".to_owned()))?;
        let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest)).map_err(wrong)?;
        Ok(ServerUrl {
            address: host
                .parse()
                .map_err(|e: NameError| NameError::new("server URL", text, e.reason))?,
            port: port.unwrap_or(443),
        })
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> String {
        url.to_string()
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest
            .split_once(']')
            .ok_or_else(|| "a '[' is not closed".to_owned())?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("only a port may follow ']'".to_owned()),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port
        .map(|p| match p.parse::<u16>() {
            Ok(n) if n != 0 && p.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            Ok(_) | Err(_) => Err(format!("{p:?} is not a port from 1 to 65535")),
        })
        .transpose()?;
    Ok((host, port))
}

fn check_http_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(|| "it must start with https:// or http://".to_owned())?;
    if text.len() > 2048 {
        return Err("it is longer than 2048 characters".to_owned());
    }
    if let Some(c) = rest
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "-._~:/?[]@!&()*+,;=%".contains(*c)))
    {
        return Err(format!("{c:?} is not allowed"));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.contains('@') {
        return Err("it contains a user name or password".to_owned());
    }
    let (host, _) = split_port(authority)?;
    host.parse::<Address>().map_err(|e| e.reason)?;
    Ok(text.to_owned())
}

fn check_abs_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("it must start with '/'".to_owned());
    }
    if text.len() > 4096 {
        return Err("it is longer than 4096 characters".to_owned());
    }
    if text.ends_with('/') {
        return Err("it must name a file, not end in '/'".to_owned());
    }
    if text.split('/').any(|part| part == "..") {
        return Err("'..' is not allowed".to_owned());
    }
    let odd = text.chars().find(|c| c.is_control());
    match odd.or_else(|| invisible(text)) {
        Some(c) => Err(format!("{c:?} is not allowed")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls() {
        let url: ServerUrl = "https://172.30.55.10:6443".parse().unwrap();
        assert_eq!((url.address().as_str(), url.port()), ("172.30.55.10", 6443));
        assert_eq!(
            "https://[fd00::1]:6443/"
                .parse::<ServerUrl>()
                .unwrap()
                .to_string(),
            "https://[fd00::1]:6443"
        );
        for bad in [
            "http://a:6443",
            "https://a:0",
            "https://a:99999",
            "https://a:+1",
            "https://a/path",
            "https://-a:1",
            "https://u:p@a",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn installer_urls_and_paths() {
        for ok in ["https://get.example/", "http://172.30.0.5:8080/install.sh"] {
            assert!(ok.parse::<HttpUrl>().is_ok(), "{ok}");
        }
        for bad in [
            "file:///etc/passwd",
            "https://u:p@host/",
            "https://a/b c",
            "https://a/$(x)",
            "https://",
            "-o",
        ] {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
        }
        assert_eq!("/opt/k3s".parse::<AbsPath>().unwrap().file_name(), "k3s");
        for bad in [
            "opt/k3s",
            "/opt/../k3s",
            "/opt/",
            "/a\nb",
            "/opt/\u{202e}s3k",
        ] {
            assert!(bad.parse::<AbsPath>().is_err(), "{bad:?}");
        }
    }
}
