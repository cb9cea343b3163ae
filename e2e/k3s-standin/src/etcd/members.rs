//! Membership of the etcd cluster.

use serde_json::{Value, json};

use super::gateway::{Etcd, EtcdError};

/// A member as `member list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Decimal id.
    pub(crate) id: String,
    /// `<node>-<8 hex>`; empty until it has started.
    pub(crate) name: String,
    /// Peer URLs.
    pub(crate) peers: Vec<String>,
    /// Client URLs; empty until it has started.
    pub(crate) clients: Vec<String>,
    /// Does not vote yet.
    pub(crate) learner: bool,
}

fn member(value: &Value) -> Member {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .map(|list| list.iter().map(text).collect())
            .unwrap_or_default()
    };
    Member {
        id: text(&value["ID"]),
        name: text(&value["name"]),
        peers: texts(&value["peerURLs"]),
        clients: texts(&value["clientURLs"]),
        learner: value["isLearner"] == json!(true),
    }
}

impl Etcd {
    /// All members.
    ///
    /// # Errors
    /// When the member does not answer.
    pub(crate) async fn members(&self) -> Result<Vec<Member>, EtcdError> {
        let answer = self.call("/v3/cluster/member/list", &json!({})).await?;
        Ok(answer["members"]
            .as_array()
            .map(|list| list.iter().map(member).collect())
            .unwrap_or_default())
    }

    /// Adds a member that does not vote yet.
    ///
    /// # Errors
    /// etcd's refusal (`too many learner members in cluster`, …) or no answer.
    pub(crate) async fn add_learner(&self, peer_url: &str) -> Result<(), EtcdError> {
        let request = json!({"peerURLs": [peer_url], "isLearner": true});
        self.call("/v3/cluster/member/add", &request)
            .await
            .map(drop)
    }

    /// Gives a learner its vote.
    ///
    /// # Errors
    /// etcd's refusal while the learner is not in sync, or no answer.
    pub(crate) async fn promote(&self, id: &str) -> Result<(), EtcdError> {
        self.call("/v3/cluster/member/promote", &json!({"ID": id}))
            .await
            .map(drop)
    }

    /// Gives a member another peer address.
    ///
    /// # Errors
    /// etcd's refusal or no answer.
    pub(crate) async fn update_member(&self, id: &str, peer_url: &str) -> Result<(), EtcdError> {
        let request = json!({"ID": id, "peerURLs": [peer_url]});
        self.call("/v3/cluster/member/update", &request)
            .await
            .map(drop)
    }

    /// Removes a member.
    ///
    /// # Errors
    /// etcd's refusal or no answer.
    pub(crate) async fn remove_member(&self, id: &str) -> Result<(), EtcdError> {
        self.call("/v3/cluster/member/remove", &json!({"ID": id}))
            .await
            .map(drop)
    }
}
