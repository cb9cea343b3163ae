//! A cluster's token in memory: another one.

use coxswain_k3s::env_file;
use coxswain_wire::HostId;

use super::k3s::{TOKEN_FILE, sha256};
use super::{FakeWorld, State};

impl FakeWorld {
    /// Lets all clusters have a new token, and all their nodes be told it, as after a rotation long ago.
    ///
    /// # Panics
    /// If a node has no cluster.
    pub fn rotate_tokens(&self) {
        self.tell_tokens(&"f".repeat(32));
    }

    /// The same with a password of somebody's own.
    ///
    /// # Panics
    /// If a node has no cluster.
    pub fn tell_tokens(&self, password: &str) {
        let mut state = self.now();
        let State {
            hosts, clusters, ..
        } = &mut *state;
        for cluster in clusters.values_mut() {
            password.clone_into(&mut cluster.password);
        }
        for host in hosts.values_mut() {
            let Some(k3s) = host.k3s.as_mut() else {
                continue;
            };
            let cluster = &clusters[&k3s.cluster];
            k3s.accepts.clone_from(&cluster.password);
            let token = format!("K10{}::server:{}", sha256(&cluster.ca), cluster.password);
            let told = format!("/etc/systemd/system/{}.env", k3s.unit);
            let env = env_file::render([("K3S_TOKEN", token.as_str())]);
            host.files.insert(told, env.expect("a token of one line"));
            if !k3s.agent() {
                host.files
                    .insert(TOKEN_FILE.to_owned(), format!("{token}\n"));
            }
        }
    }
}

impl State {
    /// The server that is asked takes a new token, and so do all that start from now on.
    pub(super) fn rotate_token(&mut self, id: HostId) -> Result<(), String> {
        let number = self.api_on(id).ok_or("connection refused")?;
        let cluster = self.clusters.get_mut(&number).ok_or("no cluster")?;
        // The same in every world: pictures of two runs can be compared.
        let new = if cluster.password.starts_with('f') {
            "e"
        } else {
            "f"
        }
        .repeat(32);
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let own = format!("K10{}::server:{}", sha256(&cluster.ca), cluster.password);
        let file = host.files.get(TOKEN_FILE).map(|text| text.trim());
        let half_done = file != Some(own.as_str());
        let token = format!("K10{}::server:{new}\n", sha256(&cluster.ca));
        host.files.insert(TOKEN_FILE.to_owned(), token);
        if let Some(k3s) = host.k3s.as_mut() {
            k3s.accepts.clone_from(&new);
        }
        // The file comes first; then k3s looks for the data of the token that stood in it.
        if half_done || host.rotates_halfway {
            return Err("level=fatal msg=\"bootstrap data already found and encrypted with different token\"".to_owned());
        }
        cluster.password = new;
        Ok(())
    }
}
