//! Keys and values: reads, and writes guarded by revisions.

use serde_json::{Value, json};

use super::gateway::{Etcd, EtcdError, decode64, encode64, number};

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Key.
    pub(crate) key: String,
    /// Value.
    pub(crate) value: Vec<u8>,
    /// Revision of the last change of this key.
    pub(crate) revision: u64,
}

/// Keys below a prefix, as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// In order of their keys.
    pub(crate) entries: Vec<Entry>,
    /// The database's revision.
    pub(crate) revision: u64,
}

/// Outcome of a guarded write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// Written at this revision.
    Done(u64),
    /// The guard did not hold; what is there instead.
    Conflict(Option<Entry>),
}

fn entry(value: &Value) -> Entry {
    Entry {
        key: String::from_utf8_lossy(&decode64(&value["key"])).into_owned(),
        value: decode64(&value["value"]),
        revision: number(&value["mod_revision"]),
    }
}

/// The end of the range of all keys that start with `prefix`.
pub(super) fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

impl Etcd {
    /// One key, read through the quorum.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Entry>, EtcdError> {
        let answer = self
            .read("/v3/kv/range", &json!({"key": encode64(key.as_bytes())}))
            .await?;
        Ok(answer["kvs"].get(0).map(entry))
    }

    /// All keys that start with `prefix`, read through the quorum.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Listing, EtcdError> {
        let request = json!({
            "key": encode64(prefix.as_bytes()),
            "range_end": encode64(&prefix_end(prefix)),
        });
        let answer = self.read("/v3/kv/range", &request).await?;
        let entries = answer["kvs"]
            .as_array()
            .map(|kvs| kvs.iter().map(entry).collect());
        Ok(Listing {
            entries: entries.unwrap_or_default(),
            revision: number(&answer["header"]["revision"]),
        })
    }

    /// Writes `key` if its last change was at `revision` (0: if it does not exist).
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn save(
        &self,
        key: &str,
        value: &[u8],
        revision: u64,
    ) -> Result<Saved, EtcdError> {
        let put = json!({"request_put": {
            "key": encode64(key.as_bytes()), "value": encode64(value),
        }});
        self.guarded(key, revision, &put).await
    }

    /// Writes `key` unconditionally; it vanishes after `seconds` unless written again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn put_expiring(
        &self,
        key: &str,
        value: &[u8],
        seconds: u64,
    ) -> Result<(), EtcdError> {
        let lease = self
            .call("/v3/lease/grant", &json!({"TTL": seconds.to_string()}))
            .await?;
        let request = json!({
            "key": encode64(key.as_bytes()), "value": encode64(value), "lease": lease["ID"],
        });
        self.call("/v3/kv/put", &request).await.map(drop)
    }

    /// Deletes `key` if its last change was at `revision`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn delete(&self, key: &str, revision: u64) -> Result<Saved, EtcdError> {
        let delete = json!({"request_delete_range": {"key": encode64(key.as_bytes())}});
        self.guarded(key, revision, &delete).await
    }

    async fn guarded(
        &self,
        key: &str,
        revision: u64,
        operation: &Value,
    ) -> Result<Saved, EtcdError> {
        let key64 = encode64(key.as_bytes());
        let request = json!({
            "compare": [{
                "key": key64, "target": "MOD", "result": "EQUAL",
                "mod_revision": revision.to_string(),
            }],
            "success": [operation],
            "failure": [{"request_range": {"key": key64}}],
        });
        let answer = self.call("/v3/kv/txn", &request).await?;
        if answer["succeeded"] == json!(true) {
            return Ok(Saved::Done(number(&answer["header"]["revision"])));
        }
        let present = answer["responses"][0]["response_range"]["kvs"]
            .get(0)
            .map(entry);
        Ok(Saved::Conflict(present))
    }
}
