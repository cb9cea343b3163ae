//! What the gates say where somebody else's configuration balances the API.

use coxswain_wire::{FieldValue, Verdict};

use super::evidence::{facts, failing};
use super::lab::{self, inputs, text};

/// What the gate says of haproxy.cfg on the load balancer.
async fn told(workflow: &str, more: &[(&str, FieldValue)]) -> (Verdict, String, String) {
    let lab = lab::running_lab();
    lab.balance_by_hand();
    let mut given = inputs(&[("cluster", FieldValue::Id(1))]);
    given.extend(inputs(more));
    let found = facts(&lab, workflow, &given, &lab::running_inventory()).await;
    failing(&found);
    let fact = found.into_iter().find(|f| f.name == "haproxy.cfg").unwrap();
    (fact.verdict, fact.value, fact.advice.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_change_of_servers_tells_the_lines_to_change() {
    let version = ("version", text("v1.33.5+k3s1"));
    let host = |id| ("host", FieldValue::Id(id));
    let reachable = ("state", text("reachable"));
    let add = "add \u{201c}server node5 10.0.0.5:6443 check\u{201d} beside the other servers";
    let delete = "delete line 13: server three 10.0.0.3:6443 check";
    for (workflow, more, wanted) in [
        ("join", vec![host(5), version.clone()], vec![add]),
        (
            "remove_node",
            vec![host(3), reachable.clone()],
            vec![delete],
        ),
        (
            "replace_node",
            vec![
                host(3),
                reachable.clone(),
                ("replacement", FieldValue::Id(5)),
                version.clone(),
            ],
            vec![add, delete],
        ),
        (
            "replace_node",
            vec![
                host(3),
                reachable,
                ("replacement", FieldValue::Id(3)),
                version,
            ],
            vec![],
        ),
    ] {
        let (verdict, value, advice) = told(workflow, &more).await;
        assert_eq!(verdict, Verdict::Warn, "{workflow}: {value}");
        assert!(value.contains("line 5: bind :6443"), "{workflow}: {value}");
        for line in [add, delete] {
            assert_eq!(
                advice.contains(line),
                wanted.contains(&line),
                "{workflow}: {advice}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_load_balancers_own_procedure_refuses_it() {
    let (verdict, value, _) = told("load_balancer", &[]).await;
    assert_eq!(verdict, Verdict::Fail);
    assert!(value.contains("already binds port 6443"), "{value}");
}
