//! What a person does with the panel, by its API: first administrator, hosts, cluster. Runs: [`crate::runs`].

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use coxswain_wire::{
    Cluster, ClusterId, ConfirmHostKeys, ConnectionTest, Credential, CredentialId, Host, HostKey,
    KubeconfigRequest, Member, NewCluster, NewCredential, NewHost, PowerControl, SetupRequest,
    SignInRequest, Snapshot,
};

use crate::api::Api;
use crate::lab::Lab;
use crate::panel::Panel;

/// Sign-in name of the administrator.
const NAME: &str = "ada";
/// Their password, good for panels of tests only.
const PASSWORD: &str = "lab password of ada";

/// The administrator of a panel, signed in. The session outlives the panel's process.
#[derive(Debug)]
pub struct Operator {
    pub(crate) api: Api,
}

impl Operator {
    /// Makes the first administrator with the link that the panel printed.
    ///
    /// # Errors
    /// The panel printed none, or refuses.
    pub async fn first(panel: &Panel) -> Result<Self> {
        let link = panel.setup_link().await?;
        let (_, secret) = link.split_once('#').context("no secret in the link")?;
        let request = SetupRequest {
            secret: secret.to_owned(),
            name: NAME.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let mut api = Api::new(&panel.url(""));
        api.begin("/setup", &request).await?;
        Ok(Self { api })
    }

    /// Signs in as the administrator that [`Operator::first`] made.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn sign_in(panel: &Panel) -> Result<Self> {
        let request = SignInRequest {
            name: NAME.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let mut api = Api::new(&panel.url(""));
        api.begin("/session", &request).await?;
        Ok(Self { api })
    }

    /// Lets the panel make a key pair.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn new_credential(&self, name: &str) -> Result<Credential> {
        let request = NewCredential {
            name: name.to_owned(),
            private_key: None,
        };
        self.api.post("/credentials", &request).await
    }

    /// Enrols a host of the lab that lets the credential in: its fingerprints are compared with the host's own,
    /// confirmed, and the connection is tested.
    ///
    /// # Errors
    /// A fingerprint is another one, a check fails, or the panel refuses.
    pub async fn enrol(&self, lab: &Lab, name: &str, credential: CredentialId) -> Result<Host> {
        let machine = lab.host(name)?;
        let request = NewHost {
            name: name.to_owned(),
            ssh_address: machine.address.clone(),
            ssh_port: machine.ssh_port,
            ssh_user: lab.user.clone(),
            node_address: None,
            credential,
            power: None,
        };
        let host: Host = self.api.post("/hosts", &request).await?;
        let path = format!("/hosts/{}", host.id);
        let seen: Vec<HostKey> = self.api.post(&format!("{path}/scan"), &()).await?;
        let own = lab.fingerprints(name).await?;
        let fingerprints: Vec<String> = seen.into_iter().map(|key| key.fingerprint).collect();
        ensure!(!fingerprints.is_empty(), "{name} shows no host key");
        for seen in &fingerprints {
            ensure!(own.contains(seen), "{seen} is not a key of {name}: {own:?}");
        }
        let confirmed = ConfirmHostKeys { fingerprints };
        let host: Host = self
            .api
            .post(&format!("{path}/confirm"), &confirmed)
            .await?;
        let test: ConnectionTest = self.api.post(&format!("{path}/test"), &()).await?;
        ensure!(test.passed(), "{name}: {:?}", test.checks);
        Ok(host)
    }

    /// Makes a cluster of the inventory.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn new_cluster(
        &self,
        name: &str,
        endpoint: &str,
        members: Vec<Member>,
    ) -> Result<Cluster> {
        let request = NewCluster {
            name: name.to_owned(),
            endpoint: Some(endpoint.to_owned()),
            members,
        };
        self.api.post("/clusters", &request).await
    }

    /// The snapshots that the panel has taken of a cluster, newest first.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn snapshots(&self, cluster: ClusterId) -> Result<Vec<Snapshot>> {
        self.api
            .get(&format!("/clusters/{cluster}/snapshots"))
            .await
    }

    /// A cluster by name, as the panel has it now.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn cluster(&self, name: &str) -> Result<Cluster> {
        let all: Vec<Cluster> = self.api.get("/clusters").await?;
        all.into_iter()
            .find(|cluster| cluster.name == name)
            .with_context(|| format!("the panel has no cluster {name}"))
    }

    /// The kubeconfig of a cluster, as a person downloads it.
    ///
    /// # Errors
    /// The panel has none.
    pub async fn kubeconfig(&self, cluster: ClusterId) -> Result<Bytes> {
        let request = KubeconfigRequest {
            clusters: vec![cluster],
            into: None,
        };
        self.api.fetch("/kubeconfigs", &request).await
    }

    /// A host by name, as the panel has it now.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn host(&self, name: &str) -> Result<Host> {
        let all: Vec<Host> = self.api.get("/hosts").await?;
        all.into_iter()
            .find(|host| host.name == name)
            .with_context(|| format!("the panel has no host {name}"))
    }
    /// Lets the panel switch a host's power by a command on another one.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn give_power(&self, name: &str, via: &str, command: &str) -> Result<Host> {
        let (host, via) = (self.host(name).await?, self.host(via).await?.id);
        let words = |action: &str| [command, action, name].map(str::to_owned).to_vec();
        let request = NewHost {
            name: host.name,
            ssh_address: host.ssh_address,
            ssh_port: host.ssh_port,
            ssh_user: host.ssh_user,
            node_address: Some(host.node_address),
            credential: host.credential,
            power: Some(PowerControl {
                via,
                on: words("on"),
                off: words("off"),
                status: words("status"),
            }),
        };
        self.api.put(&format!("/hosts/{}", host.id), &request).await
    }

    /// The file of a snapshot.
    ///
    /// # Errors
    /// The panel refuses, or its host does not answer.
    pub async fn snapshot_file(&self, snapshot: &Snapshot) -> Result<Bytes> {
        let path = format!("/snapshots/{}/file", snapshot.id);
        self.api.bytes(&path).await
    }
}
