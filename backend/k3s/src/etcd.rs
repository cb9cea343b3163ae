//! etcd's answers through its JSON gateway (facts A, etcd), and what they mean for quorum.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// Answer of `POST /v3/cluster/member/list`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MemberList {
    /// The members, in etcd's order. Never left out: an answer without them is an error.
    pub members: Vec<Member>,
}

/// One etcd member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Member id; a decimal string on the wire.
    #[serde(rename = "ID", deserialize_with = "number")]
    pub id: u64,
    /// `<node name>-<8 hex>`; empty until the member has started.
    #[serde(default)]
    pub name: String,
    /// Does not vote yet. Absent on the wire means no.
    #[serde(default)]
    pub is_learner: bool,
    /// Addresses for the other members.
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    /// Addresses for clients; empty until the member has started.
    #[serde(rename = "clientURLs", default)]
    pub client_urls: Vec<String>,
}

impl Member {
    /// The Kubernetes node this member runs on: its name without the suffix, which changes whenever a
    /// node joins again (facts A, 13).
    #[must_use]
    pub fn node_name(&self) -> &str {
        match self.name.rsplit_once('-') {
            Some((node, suffix))
                if suffix.len() == 8 && suffix.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                node
            }
            Some(_) | None => &self.name,
        }
    }

    /// Whether it runs on the node of this name, or at this node address. Old clusters named members after host names
    /// cut at the first dot, and until a member has started it has no name: its peer address tells whose it is.
    #[must_use]
    pub fn is_of(&self, node: &str, address: &str) -> bool {
        self.node_name() == node || self.peer_urls.iter().any(|url| is_at(url, address))
    }

    /// Takes part in votes.
    #[must_use]
    pub fn votes(&self) -> bool {
        !self.is_learner
    }
}

/// `https://10.0.0.1:2380` is at `10.0.0.1`.
fn is_at(url: &str, address: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match (host.parse::<IpAddr>(), address.parse::<IpAddr>()) {
        (Ok(host), Ok(address)) => host == address,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        (Err(_), Err(_)) => host == address,
    }
}

impl MemberList {
    /// Reads the answer.
    ///
    /// # Errors
    /// When it is not the JSON it should be; etcd's own error text if it sent one.
    pub fn parse(json: &str) -> Result<Self, EtcdError> {
        parse(json)
    }

    /// Members that vote.
    #[must_use]
    pub fn voters(&self) -> usize {
        self.members.iter().filter(|m| m.votes()).count()
    }
}

/// Answer of `POST /v3/maintenance/status`, of one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Who answered, in which cluster.
    pub header: Header,
    /// etcd's version.
    pub version: String,
    /// Size of the database file in bytes.
    #[serde(default, deserialize_with = "number")]
    pub db_size: u64,
    /// Id of the leader as this member sees it; 0 means there is none.
    #[serde(default, deserialize_with = "number")]
    pub leader: u64,
    /// Raft log index.
    #[serde(default, deserialize_with = "number")]
    pub raft_index: u64,
    /// Raft term; grows with every election.
    #[serde(default, deserialize_with = "number")]
    pub raft_term: u64,
    /// Alarms and the like.
    #[serde(default)]
    pub errors: Vec<String>,
    /// This member does not vote yet.
    #[serde(default)]
    pub is_learner: bool,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Cluster id.
    #[serde(default, deserialize_with = "number")]
    pub cluster_id: u64,
    /// Id of the member that answered.
    #[serde(default, deserialize_with = "number")]
    pub member_id: u64,
}

impl Status {
    /// Reads the answer.
    ///
    /// # Errors
    /// When it is not the JSON it should be; etcd's own error text if it sent one.
    pub fn parse(json: &str) -> Result<Self, EtcdError> {
        parse(json)
    }

    /// The member that answered leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader != 0 && self.leader == self.header.member_id
    }
}

/// Answer of `GET /health`: `{"health":"true"}`, a string; a reason when it is not.
///
/// # Errors
/// When it is not the JSON it should be.
pub fn parse_health(json: &str) -> Result<bool, EtcdError> {
    #[derive(Deserialize)]
    struct Health {
        health: Value,
    }
    let Health { health } = parse(json)?;
    Ok(health.as_bool() == Some(true) || health.as_str() == Some("true"))
}

/// Answer of `POST /v3/kv/range`: the keys, as text.
///
/// # Errors
/// When it is not the JSON it should be; etcd's own error text if it sent one.
pub fn parse_keys(json: &str) -> Result<Vec<String>, EtcdError> {
    #[derive(Deserialize)]
    struct Range {
        // Always there, which tells an answer without keys from none.
        #[serde(rename = "header")]
        _header: Value,
        #[serde(default)]
        kvs: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        key: String,
    }
    let range: Range = parse(json)?;
    let decoded = range.kvs.into_iter().map(|entry| {
        let key = STANDARD.decode(entry.key);
        let key = key.map_err(|e| EtcdError::Json(e.to_string()))?;
        String::from_utf8(key).map_err(|e| EtcdError::Json(e.to_string()))
    });
    decoded.collect()
}

/// Why an answer could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// etcd answered with an error.
    #[error("etcd says: {0}")]
    Refused(String),
    /// Not the expected JSON.
    #[error("unexpected answer from etcd: {0}")]
    Json(String),
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, EtcdError> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    serde_json::from_str(json).map_err(|e| match serde_json::from_str::<Refusal>(json) {
        Ok(refusal) => EtcdError::Refused(refusal.error),
        Err(_) => EtcdError::Json(e.to_string()),
    })
}

/// 64-bit numbers come as decimal strings; small ones may come as numbers.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    use serde::de::Error as _;
    let value = Value::deserialize(deserializer)?;
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .ok_or_else(|| D::Error::custom("not an unsigned number"))
}

/// How far an etcd cluster is from standing still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quorum {
    /// Members that vote.
    pub members: usize,
    /// Of them, healthy ones.
    pub healthy: usize,
    /// Healthy members needed for any write: more than half.
    pub needed: usize,
    /// Further losses the cluster survives now.
    pub tolerated: usize,
}

impl Quorum {
    /// Enough members are healthy.
    #[must_use]
    pub fn holds(self) -> bool {
        self.members > 0 && self.healthy >= self.needed
    }
}

/// Quorum of `members` voting members, `healthy` of them healthy.
#[must_use]
pub fn quorum(members: usize, healthy: usize) -> Quorum {
    let needed = members / 2 + 1;
    let healthy = healthy.min(members);
    Quorum {
        members,
        healthy,
        needed,
        tolerated: healthy.saturating_sub(needed),
    }
}

/// What taking members down does to the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forecast {
    /// Now.
    pub before: Quorum,
    /// While they are down.
    pub during: Quorum,
}

impl Forecast {
    /// The forecast for taking `down` healthy members away from `before`, members staying members.
    #[must_use]
    pub fn taking_down(before: Quorum, down: usize) -> Self {
        Forecast {
            before,
            during: quorum(before.members, before.healthy.saturating_sub(down)),
        }
    }
}

impl std::fmt::Display for Forecast {
    /// `3/3 -> 2/3; one more loss is an outage`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Forecast { before, during } = self;
        write!(
            f,
            "{}/{} -> {}/{}; ",
            before.healthy, before.members, during.healthy, during.members
        )?;
        match (during.holds(), during.tolerated) {
            (false, _) => f.write_str("quorum is lost: an outage"),
            (true, 0) => f.write_str("one more loss is an outage"),
            (true, 1) => f.write_str("one more loss is tolerated"),
            (true, n) => write!(f, "{n} more losses are tolerated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"header":{"cluster_id":"9004380197","member_id":"10276657743932975437","raft_term":"2"},
        "members":[{"ID":"10276657743932975437","name":"node10-02278170","peerURLs":["https://172.30.55.10:2380"],"clientURLs":["https://172.30.55.10:2379"]},
        {"ID":"3","name":"node12-f557dd23","peerURLs":["https://172.30.55.12:2380"],"clientURLs":[]},
        {"ID":"4","peerURLs":["https://172.30.55.13:2380"],"isLearner":true}]}"#;

    #[test]
    fn reads_members() {
        let list = MemberList::parse(LIST).unwrap();
        assert_eq!(list.members[0].id, 10_276_657_743_932_975_437);
        assert_eq!(list.members[0].node_name(), "node10");
        assert_eq!((list.members.len(), list.voters()), (3, 2));
        assert!(list.members[2].is_learner && list.members[2].name.is_empty());
    }

    #[test]
    fn node_names_may_contain_dashes() {
        let member = |name: &str| Member {
            id: 1,
            name: name.to_owned(),
            is_learner: false,
            peer_urls: vec![],
            client_urls: vec![],
        };
        assert_eq!(member("my-node-a1-02278170").node_name(), "my-node-a1");
        assert_eq!(member("node-a1").node_name(), "node-a1");
    }

    #[test]
    fn members_are_told_by_their_address_too() {
        let list = MemberList::parse(LIST).unwrap();
        let of = |node: &str, address: &str| -> Vec<usize> {
            let found = list.members.iter().enumerate();
            found
                .filter(|(_, m)| m.is_of(node, address))
                .map(|(at, _)| at)
                .collect()
        };
        // The host name was cut at its first dot.
        assert_eq!(of("node10.example.org", "172.30.55.10"), [0]);
        // It has moved since.
        assert_eq!(of("node12", "172.30.55.99"), [1]);
        assert_eq!(of("node13", "172.30.55.13"), [2]);
        assert_eq!(of("node1", "172.30.55.1"), [0; 0]);
        assert!(is_at("https://[fd00::1]:2380", "fd00:0::1"));
        assert!(!is_at("https://[fd00::1]:2380", "fd00::11"));
    }

    #[test]
    fn reads_status_and_health() {
        let status = Status::parse(
            r#"{"header":{"cluster_id":"5","member_id":"7","revision":"9"},"version":"3.5.0","dbSize":"1089536","leader":"7","raftIndex":"1200","raftTerm":"2","raftAppliedIndex":"1200","dbSizeInUse":"900"}"#,
        )
        .unwrap();
        assert!(status.is_leader());
        assert_eq!(status.db_size, 1_089_536);
        assert_eq!(parse_health(r#"{"health":"true","reason":""}"#), Ok(true));
        assert_eq!(parse_health(r#"{"health":"false"}"#), Ok(false));
        assert!(parse_health("").is_err());
        assert_eq!(
            MemberList::parse(r#"{"error":"etcdserver: no leader","code":14}"#),
            Err(EtcdError::Refused("etcdserver: no leader".to_owned()))
        );
        assert_eq!(
            Status::parse(r#"{"error":"etcdserver: no leader","code":14}"#),
            Err(EtcdError::Refused("etcdserver: no leader".to_owned()))
        );
    }

    #[test]
    fn reads_keys() {
        let keys = parse_keys(
            r#"{"header":{"revision":"9"},"kvs":[{"key":"L2Jvb3RzdHJhcC9iYTc4MTZiZjhmMDE=","version":"1"}],"count":"1"}"#,
        );
        assert_eq!(keys, Ok(vec!["/bootstrap/ba7816bf8f01".to_owned()]));
        assert_eq!(parse_keys(r#"{"header":{}}"#), Ok(Vec::new()));
        assert!(parse_keys("{}").is_err());
        let refused = parse_keys(r#"{"error":"etcdserver: no leader","code":14}"#);
        assert_eq!(
            refused,
            Err(EtcdError::Refused("etcdserver: no leader".to_owned()))
        );
    }

    #[test]
    fn forecasts() {
        let text = |members, healthy, down| {
            Forecast::taking_down(quorum(members, healthy), down).to_string()
        };
        assert_eq!(text(3, 3, 1), "3/3 -> 2/3; one more loss is an outage");
        assert_eq!(text(5, 5, 1), "5/5 -> 4/5; one more loss is tolerated");
        assert_eq!(text(3, 2, 1), "2/3 -> 1/3; quorum is lost: an outage");
        assert_eq!(text(2, 2, 1), "2/2 -> 1/2; quorum is lost: an outage");
        assert_eq!(quorum(3, 3).tolerated, 1);
        assert!(!quorum(0, 0).holds());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}", m in 0usize..9, h in 0usize..12, d in 0usize..12) {
            let _ = (MemberList::parse(&text), Status::parse(&text), parse_health(&text));
            let _ = Forecast::taking_down(quorum(m, h), d).to_string();
        }
    }
}
