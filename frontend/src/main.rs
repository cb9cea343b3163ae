//! The page of the panel, drawn in the browser.
//!
//! - [`api`] is the only HTTP code, [`live`] the only `EventSource`.
//! - [`app`] decides between set-up, sign-in and what is behind; [`inside`] is that, a file of its own;
//!   [`shell`] is what surrounds every page there.
//! - [`pages`] are the pages, [`components`] what they are built from; styles are in `frontend/style`.
//! - [`state`] is what all share; [`paths`] every address; [`words`] how every state is called and coloured;
//!   [`health`], [`log`] and [`format`] are pure.
//!
//! Tests find things by `data-testid`. Every input is `field-<name of the field in the API>`; besides:
//!
//! - set-up and sign-in: `setup-form`, `field-secret`, `field-name`, `field-password`, `field-repeat`,
//!   `setup-submit`; `sign-in-form`, `sign-in-submit`; `sign-out`
//! - shell: `nav-clusters`, `nav-runs`, `nav-approvals`, `nav-hosts`, `nav-audit`, `nav-settings`,
//!   `link-state` (`data-state`: `connecting`, `live`, `retrying`), `link-banner`, `palette-open`,
//!   `palette`, `palette-query`, `key-sheet`, `theme-toggle`
//! - hosts: `host-add`, `host-dialog`, `field-name`, `field-ssh_address`, `field-ssh_port`,
//!   `field-ssh_user`, `field-node_address`, `host-save`; `host-row-<name>` (`data-enrolment`:
//!   `unconfirmed`, `pinned`; `data-test`: `none`, `passed`, `failed`), `host-open-<name>`; `host-fingerprint`,
//!   `host-scan` (again), `host-scan-confirm`, `host-check-<stage>` (`data-state`: `ok`, `failed`, `open`),
//!   `host-test` (again), `host-done` (only after the test has passed), `host-edit`, `host-delete`,
//!   `host-delete-confirm`
//! - key pairs in the host's form: `credential-mode-existing`, `-generate`, `-paste`,
//!   `field-credential-name`, `field-private_key`, `credential-create`, `field-credential`,
//!   `credential-command`, `credential-public-key` (inside a folded part)
//! - clusters: `cluster-new`, `cluster-card-<name>`, `field-name`, `field-endpoint`,
//!   `member-role-<host name>` (a select: ``, `server`, `agent`, `load_balancer`), `cluster-create` (also saves);
//!   `cluster-phase`, `cluster-control-plane`, `cluster-applications`, `cluster-quorum`,
//!   `cluster-certificate`, `cluster-nodes` (rows: `data-node`, `data-ready`), `cluster-etcd` (rows:
//!   `data-member`, `data-healthy`), `cluster-certificates`, `cluster-action-<workflow>`, `cluster-edit`,
//!   `cluster-delete`
//! - new run: `run-new`, `workflow-<name>`, `field-<input>`, `choice-<input>-<host name>`, `plan-show`,
//!   `plan-view`, `plan-sha256`, `run-start`
//! - run: `run-status` (`data-state`: the stored word), `run-notice`, `run-<command>` for pause, resume, stop,
//!   kill, retry, unwind, abandon, `run-dialog`, `run-confirm`, `dead-<host name>`; `gate`, `gate-form`,
//!   `field-comment`, `field-confirm`, `gate-approve`, `gate-reject`, `gate-refresh`, `gate-seen` (evidence
//!   changed while it was read); `stage-<index>`, `step-<index>` (`data-state`: the stored word); `tab-progress`,
//!   `tab-timeline`, `tab-plan`, `tab-history`, `history`
//! - log: `log`, `log-line` (`data-step`, `data-line`; only lines in sight exist), `log-count` (`data-count`:
//!   rows of the choice), `log-all`, `log-follow`, `log-wrap`, `log-earlier`, `log-search`, `log-copy`, `log-download`,
//!   `log-new-lines`
//! - lists: `run-row-<id>` (`data-state`), `filter-status`, `filter-workflow`, `filter-cluster`,
//!   `approval-<id>`, `audit-intact` (`data-state`: `intact`, `broken`), `audit-row` (`data-action`),
//!   `audit-older`, `user-add`, `user-dialog`, `field-role`, `user-save`, `user-row-<name>`,
//!   `user-delete-<name>`
//! - everywhere: `form-failure`, `dialog-confirm`

#![expect(unreachable_pub, reason = "the component macro writes `pub` itself")]

mod api;
mod app;
mod browser;
mod components;
mod format;
mod health;
mod inside;
mod links;
mod live;
mod load;
mod log;
mod pages;
mod paths;
mod shell;
mod state;
mod storage;
mod words;

fn main() {
    // A panic ends the program; what it said belongs on the console, `assets/boot.js` tells the person.
    std::panic::set_hook(Box::new(|panic| {
        web_sys::console::error_1(&panic.to_string().into())
    }));
    leptos::mount::mount_to_body(app::Root);
    if let Some(splash) = browser::find("#splash") {
        splash.remove();
    }
}
