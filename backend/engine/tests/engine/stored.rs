//! Plans and logs that an earlier panel stored.

use coxswain_engine::event::Event;
use coxswain_engine::plan::Plan;

/// As it was stored before a plan could say more; and its hash, which approvals name.
const PLAN: &str = r#"{"workflow":"toy","title":"Play","inputs":{"cluster":1},"cluster":1,"cluster_name":"toys","locks":["cluster:1"],"stages":[{"title":"Stop","gate":{"title":"Begin","confirm":null,"preflight":{"nodes":[1]}},"steps":[{"kind":"put","title":"put a","host":1,"target":"node1","params":{"word":"a"},"commands":["put a"],"undo":"take it back","irreversible":false,"interruptible":true,"deadline_s":60,"forecast":null}]},{"title":"For good","gate":null,"steps":[{"kind":"tick","title":"tick b","host":null,"target":"toys","params":{"word":{"from_step":0,"output":"word"}},"commands":[],"undo":null,"irreversible":true,"interruptible":false,"deadline_s":120,"forecast":"etcd 3/3 -> 2/3"}]}],"warnings":["odd"]}"#;
const SHA256: &str = "a394396cad0068e59ea23911d4b6f9c486c4246f06aa43505f8f8e9105926d95";

#[test]
fn a_plan_of_an_earlier_panel_is_read_and_keeps_its_hash() {
    let plan: Plan = serde_json::from_str(PLAN).unwrap();
    assert_eq!(serde_json::to_string(&plan).unwrap(), PLAN);
    assert_eq!(plan.sha256(), SHA256);
}

#[test]
fn an_abandonment_of_an_earlier_panel_is_read() {
    let stored = r#"{"event":"abandoned","by":{"id":1,"name":"ada","address":""},"comment":"x","dead_hosts":[2]}"#;
    let event: Event = serde_json::from_str(stored).unwrap();
    assert!(matches!(event, Event::Abandoned { .. }), "{event:?}");
}
