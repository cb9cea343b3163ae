//! What the page wrote to the browser's console: errors and violations of the content security policy.

use fantoccini::wd::WebDriverCompatibleCommand;
use serde::Deserialize;
use url::{ParseError, Url};

/// One entry of the console.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// `SEVERE`, `WARNING`, …
    pub level: String,
    /// Text with address and line in front.
    pub message: String,
    /// `network`, `javascript`, `security`, …
    #[serde(default)]
    pub source: String,
}

impl Entry {
    /// True for what a page without fault never writes.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.level == "SEVERE"
            || self.source == "security"
            || self.message.contains("Content Security Policy")
    }

    /// True for what a browser writes by itself when the server goes away.
    #[must_use]
    pub fn is_lost_connection(&self) -> bool {
        self.source == "network" && self.message.contains("net::ERR_")
    }
}

/// chromedriver's command that hands over the entries since it was asked last.
#[derive(Debug)]
pub(crate) struct TakeEntries;

impl WebDriverCompatibleCommand for TakeEntries {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(r#"{"type":"browser"}"#.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(level: &str, source: &str, message: &str) -> Entry {
        Entry {
            level: level.into(),
            source: source.into(),
            message: message.into(),
        }
    }

    #[test]
    fn a_lost_server_is_told_from_a_fault_of_the_page() {
        let lost = entry(
            "SEVERE",
            "network",
            "http://x/stream - Failed to load resource: net::ERR_CONNECTION_REFUSED",
        );
        assert!(lost.is_fault() && lost.is_lost_connection());
        let status = entry(
            "SEVERE",
            "network",
            "http://x/y - Failed to load resource: the server responded with 404",
        );
        assert!(status.is_fault() && !status.is_lost_connection());
        assert!(entry("WARNING", "other", "Refused by the Content Security Policy").is_fault());
        assert!(!entry("INFO", "console-api", "hello").is_fault());
    }
}
