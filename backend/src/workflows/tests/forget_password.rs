//! When the cluster counts as not keeping a node's password any more.

use std::time::Duration;

use coxswain_engine::plan::Outputs;
use coxswain_engine::step::{Probe, StepContext, StepKind as _};
use coxswain_wire::{HostId, RunId};
use serde_json::Value;
use tokio::time::Instant;

use super::lab;
use crate::steps::ApiHost;
use crate::steps::forget_password::{ForgetPassword, Params};

fn attempt(memo: Value) -> StepContext {
    let server = ApiHost {
        host: HostId(1),
        name: "node1".to_owned(),
        address: "10.0.0.1".to_owned(),
    };
    let params = Params {
        node: "node5".to_owned(),
        servers: vec![server],
    };
    StepContext {
        run: RunId(1),
        step: 2,
        attempt: 1,
        host: None,
        target: "node5".to_owned(),
        params: serde_json::to_value(params).unwrap(),
        memo,
        outputs: Outputs::new(),
        deadline: Instant::now() + Duration::from_secs(300),
        applied: false,
        output: None,
    }
}

/// k3s does so when it is upgraded: the node would still be rejected.
#[tokio::test(start_paused = true)]
async fn a_secret_made_anew_with_the_old_password_still_has_to_go() {
    let lab = lab::running_lab();
    let kind = ForgetPassword(lab.services());
    lab.world.keep_password("node5");
    let memo = kind.prepare(&attempt(Value::Null)).await.unwrap();
    assert!(!memo.to_string().contains("hash of"), "{memo}");
    lab.world.migrate_passwords();
    let seen = kind.probe(&attempt(memo.clone())).await.unwrap();
    assert!(matches!(seen, Probe::NotDone { .. }), "{seen:?}");
    kind.apply(&attempt(memo.clone())).await.unwrap();
    let seen = kind.probe(&attempt(memo)).await.unwrap();
    assert!(matches!(seen, Probe::Done { .. }), "{seen:?}");
}
