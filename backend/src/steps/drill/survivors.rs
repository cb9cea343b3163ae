//! The API of the servers that have no fault, asked so that one of them that hangs holds up nobody.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::step::StepFailure;
use futures::future::{select_ok, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::timeout;

use super::super::kube::{ApiHost, client, read_kubeconfig};
use crate::world::{Kube, World, WorldError};

/// A client for each of them.
pub(crate) struct Survivors {
    each: Vec<Arc<dyn Kube>>,
    names: String,
}

impl Survivors {
    /// With the credentials of whichever gives some first.
    ///
    /// # Errors
    /// None of them does.
    pub(crate) async fn connect(
        world: &dyn World,
        servers: &[ApiHost],
    ) -> Result<Self, StepFailure> {
        let reads: Vec<_> = servers
            .iter()
            .map(|server| {
                Box::pin(async move {
                    let found = read_kubeconfig(world, server.host).await?;
                    let none = || StepFailure::fatal(format!("{} has no kubeconfig", server.name));
                    found.ok_or_else(none)
                })
            })
            .collect();
        if reads.is_empty() {
            return Err(StepFailure::fatal("there is no other server to ask"));
        }
        let (config, _) = select_ok(reads).await?;
        let clients = servers
            .iter()
            .map(|server| client(world, &config, vec![server.endpoint()]));
        let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        Ok(Self {
            each: try_join_all(clients).await?,
            names: names.join(", "),
        })
    }

    /// The first answer. Another server is asked as well when one fails, or has not answered for `patience`.
    ///
    /// # Errors
    /// All of them failed; the last one's.
    pub(crate) async fn ask<T, F>(
        &self,
        patience: Duration,
        question: impl Fn(Arc<dyn Kube>) -> F,
    ) -> crate::world::Result<T>
    where
        F: Future<Output = crate::world::Result<T>>,
    {
        let mut waiting = self.each.iter();
        let mut asked = FuturesUnordered::new();
        let mut failed = WorldError::Kube {
            endpoint: self.names.clone(),
            status: None,
            detail: "there is nobody to ask".to_owned(),
        };
        loop {
            match waiting.next() {
                Some(kube) => asked.push(question(Arc::clone(kube))),
                None if asked.is_empty() => return Err(failed),
                None => {}
            }
            match timeout(patience, asked.next()).await {
                Ok(Some(Ok(answer))) => return Ok(answer),
                Ok(Some(Err(error))) => failed = error,
                Ok(None) | Err(_) => {}
            }
        }
    }
}
