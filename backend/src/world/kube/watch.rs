//! The node list followed: at one endpoint as long as it answers, then at the next.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::kube::Api;
use ::kube::runtime::watcher::{self, Event, watcher};
use coxswain_wire::Timestamp;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Node;

use super::super::error::chain;
use super::client::Endpoint;
use super::{KubeNode, KubeWatch, NodeEvent, convert};

/// A watch is renewed this often, in seconds; a connection that died silently is noticed 5 s later.
const WATCH_SECONDS: u32 = 20;
/// Pause after a failure, doubled with each further one up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

type Raw = BoxStream<'static, Result<Event<Node>, watcher::Error>>;

struct State {
    endpoints: Vec<Endpoint>,
    /// Endpoint in use, index.
    at: usize,
    raw: Raw,
    /// Nodes of a list that is still coming in.
    list: Vec<KubeNode>,
    failures: u32,
}

fn open(endpoint: &Endpoint) -> Raw {
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    watcher(Api::<Node>::all(endpoint.client.clone()), config).boxed()
}

/// Never ends while it is polled.
pub(super) fn nodes(endpoints: Vec<Endpoint>) -> KubeWatch {
    // KubeClient::new refuses an empty list; without endpoints there is nothing to follow.
    let Some(first) = endpoints.first() else {
        return stream::pending().boxed();
    };
    let raw = open(first);
    let state = State {
        endpoints,
        at: 0,
        raw,
        list: Vec::new(),
        failures: 0,
    };
    stream::unfold(state, |mut state| async move {
        let event = state.next().await;
        Some((event, state))
    })
    .boxed()
}

impl State {
    async fn next(&mut self) -> NodeEvent {
        loop {
            if self.failures > 0 && self.list.is_empty() {
                let pause = PAUSE_FIRST * 2u32.pow((self.failures - 1).min(10));
                tokio::time::sleep(pause.min(PAUSE_MAX)).await;
            }
            match self.raw.next().await {
                Some(Ok(event)) => {
                    if let Some(event) = self.take(event) {
                        self.failures = 0;
                        return event;
                    }
                }
                Some(Err(error)) => return self.interrupted(chain(&error)),
                None => return self.interrupted("the watch ended".to_owned()),
            }
        }
    }

    fn take(&mut self, event: Event<Node>) -> Option<NodeEvent> {
        match event {
            Event::Init => {
                self.list.clear();
                None
            }
            Event::InitApply(node) => {
                self.list.push(convert::node(node));
                None
            }
            Event::InitDone => {
                let mut nodes = std::mem::take(&mut self.list);
                nodes.sort_by(|a, b| a.name.cmp(&b.name));
                Some(NodeEvent::List(nodes))
            }
            Event::Apply(node) => Some(NodeEvent::Applied(convert::node(node))),
            Event::Delete(node) => Some(NodeEvent::Deleted {
                name: node.metadata.name.unwrap_or_default(),
            }),
        }
    }

    fn interrupted(&mut self, why: String) -> NodeEvent {
        let name = self.endpoints[self.at].name.clone();
        self.at = (self.at + 1) % self.endpoints.len();
        self.raw = open(&self.endpoints[self.at]);
        self.list.clear();
        self.failures = self.failures.saturating_add(1);
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        NodeEvent::Interrupted {
            since: Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            detail: format!("{name}: {why}"),
        }
    }
}
