//! Joining an existing cluster: CA, token, flags, shared files, etcd membership. Messages as in transcript 10.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::datastore;
use super::options::{Critical, ServerOptions};
use crate::etcd::{Etcd, EtcdError, Member};
use crate::logging;
use crate::net::client::{Answer, Call, Client};
use crate::net::tls;
use crate::pki::files::{self, Shared};
use crate::token::{Token, ca_hash};

/// Deadline of one request to the server.
const REQUEST: Duration = Duration::from_secs(10);
/// Deadline of one request to a member of the cluster.
const MEMBER_REQUEST: Duration = Duration::from_secs(10);
/// How long the cluster may be busy with another joining member.
const BUSY: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(500);

/// A server of the cluster, its CA checked against the token.
pub(crate) struct Access {
    base: String,
    client: Client,
    /// The cluster's CA file.
    pub(crate) ca_pem: String,
    token: Token,
    user: &'static str,
}

impl Access {
    /// Fetches the CA from `url` and checks it.
    ///
    /// # Errors
    /// With k3s's texts: server unreachable, CA hash of the token wrong.
    pub(crate) async fn open(url: &str, token: &Token, user: &'static str) -> anyhow::Result<Self> {
        let authority = authority(url)?;
        let unchecked = Client::new(&authority, tls::unchecked_client()?)?;
        let answer = unchecked
            .send(Call::get("/cacerts", REQUEST))
            .await
            .map_err(|failure| {
                anyhow::anyhow!("failed to get CA certs: Get \"{url}/cacerts\": {failure}")
            })?;
        if !answer.status.is_success() {
            bail!("failed to get CA certs: {url}/cacerts: {}", answer.status);
        }
        let ca_pem = String::from_utf8(answer.body.to_vec()).context("failed to get CA certs")?;
        if let Some(expected) = &token.ca_hash {
            let found = ca_hash(&ca_pem);
            if *expected != found {
                bail!(
                    "token CA hash does not match the Cluster CA certificate hash: {expected} != {found}"
                );
            }
        }
        let client = Client::new(&authority, tls::client(&ca_pem, None)?)?;
        Ok(Self {
            base: url.to_owned(),
            client,
            ca_pem,
            token: token.clone(),
            user,
        })
    }

    /// One authenticated request.
    ///
    /// # Errors
    /// `<url>: 401 Unauthorized` and the like, or the transport's failure.
    pub(crate) async fn get(
        &self,
        path: &str,
        headers: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Answer> {
        let mut call = Call::get(path, REQUEST);
        call.headers.extend(headers);
        self.send(call, "Get").await
    }

    /// One authenticated change.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) async fn put(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
        let mut call = Call::post(path, body, REQUEST);
        call.method = hyper::Method::PUT;
        self.send(call, "Put").await
    }

    async fn send(&self, call: Call, verb: &str) -> anyhow::Result<Answer> {
        let path = call.target.clone();
        let user = self.token.user.as_deref().unwrap_or(self.user);
        let answer = self
            .client
            .send(call.basic(user, &self.token.password))
            .await
            .map_err(|failure| anyhow::anyhow!("{verb} \"{}{path}\": {failure}", self.base))?;
        if !answer.status.is_success() {
            return Err(Refused {
                url: format!("{}{path}", self.base),
                status: answer.status,
            }
            .into());
        }
        Ok(answer)
    }
}

/// A request the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    url: String,
    /// HTTP status.
    pub(crate) status: hyper::StatusCode,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.url, self.status)
    }
}

impl std::error::Error for Refused {}

/// `host:port` of a server's URL.
pub(crate) fn authority(url: &str) -> anyhow::Result<String> {
    let host = url
        .strip_prefix("https://")
        .context("only https:// URLs are supported")?;
    let host = host.split('/').next().unwrap_or_default();
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok(if has_port {
        host.to_owned()
    } else {
        format!("{host}:443")
    })
}

/// Checks token and flags against the cluster and takes over its shared files.
///
/// # Errors
/// With the texts of facts A, table "Joining".
pub(crate) async fn prepare(options: &ServerOptions, access: &Access) -> anyhow::Result<()> {
    let answer = access.get("/v1-k3s/config", Vec::new()).await?;
    let theirs: Critical = serde_json::from_slice(&answer.body).context("server configuration")?;
    if theirs != options.critical {
        bail!("unable to join cluster due to critical configuration value mismatch");
    }
    let answer = access.get("/v1-k3s/server-bootstrap", Vec::new()).await?;
    let shared: Shared = serde_json::from_slice(&answer.body).context("bootstrap data")?;
    files::write_shared(&options.settings.paths, &shared)
}

/// Becomes a member that does not vote yet; returns the cluster as etcd wants it.
///
/// # Errors
/// When the cluster has a member of this node's name, or does not take another one in time.
pub(crate) async fn add_member(options: &ServerOptions, access: &Access) -> anyhow::Result<String> {
    let name = datastore::member_name(options)?;
    let own_url = datastore::peer_url(options);
    let give_up = tokio::time::Instant::now() + BUSY;
    loop {
        let (member, members) = any_member(options, access).await?;
        let duplicate = members.iter().any(|other| {
            other.name != name
                && other
                    .name
                    .rsplit_once('-')
                    .is_some_and(|(node, _)| node == options.node.name)
        });
        if duplicate {
            datastore::forget_member_name(options)?;
            bail!("duplicate node name found, please use a unique name for this node");
        }
        let present = members.iter().any(|other| other.peers.contains(&own_url));
        let mut cluster: Vec<String> = members
            .iter()
            .flat_map(|other| {
                let own = other.peers.contains(&own_url);
                let name = if own {
                    name.clone()
                } else {
                    other.name.clone()
                };
                other.peers.iter().map(move |url| format!("{name}={url}"))
            })
            .collect();
        if present {
            return Ok(cluster.join(","));
        }
        logging::info(format!(
            "Adding member {name}={own_url} to etcd cluster [{}]",
            cluster.join(" ")
        ));
        match member.add_learner(&own_url).await {
            Ok(()) => {
                cluster.push(format!("{name}={own_url}"));
                return Ok(cluster.join(","));
            }
            Err(error) if tokio::time::Instant::now() < give_up => {
                logging::info(format!(
                    "Waiting for other members to finish joining etcd cluster: {error}"
                ));
                tokio::time::sleep(POLL * 4).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks the other members for this one's vote until it has it.
///
/// # Errors
/// When the cluster does not promote it in time.
pub(crate) async fn wait_for_vote(options: &ServerOptions, access: &Access) -> anyhow::Result<()> {
    let own_url = datastore::peer_url(options);
    let wait = async {
        loop {
            if let Ok((member, members)) = any_member(options, access).await {
                match members.iter().find(|other| other.peers.contains(&own_url)) {
                    Some(own) if !own.learner => return,
                    Some(own) => {
                        if let Err(EtcdError::Transport(failure)) = member.promote(&own.id).await {
                            logging::warn(format!("Unable to promote learner: {failure}"));
                        }
                    }
                    None => {}
                }
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(BUSY, wait)
        .await
        .context("etcd member was not promoted")
}

/// A client for a voting member that answers, and the member list.
async fn any_member(
    options: &ServerOptions,
    access: &Access,
) -> anyhow::Result<(Etcd, Vec<Member>)> {
    let answer = access.get("/db/info", Vec::new()).await?;
    let info: Value = serde_json::from_slice(&answer.body).context("db info")?;
    let own_url = datastore::peer_url(options);
    let mut last = anyhow::anyhow!("no etcd member to talk to");
    for member in info["members"].as_array().into_iter().flatten() {
        let texts = |key: &str| -> Vec<String> {
            let list = member[key].as_array().into_iter().flatten();
            list.filter_map(|url| url.as_str().map(str::to_owned))
                .collect()
        };
        if texts("peerURLs").contains(&own_url) || member["isLearner"] == Value::Bool(true) {
            continue;
        }
        for url in texts("clientURLs") {
            let client = Etcd::connect(&options.settings.paths, &authority(&url)?, MEMBER_REQUEST)?;
            match client.members().await {
                Ok(members) => return Ok((client, members)),
                Err(error) => last = error.into(),
            }
        }
    }
    Err(last)
}
