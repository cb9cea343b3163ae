//! The page of the panel, drawn in the browser.
//!
//! - [`api`] is the only HTTP code, [`live`] the only `EventSource`.
//! - [`app`] decides between set-up, sign-in and the shell; [`shell`] is what surrounds every page.
//! - [`pages`] are the pages, [`components`] what they are built from; styles are in `frontend/style`.
//! - [`state`] is what all share; [`paths`] every address; [`words`] how every state is called and coloured;
//!   [`health`], [`log`] and [`format`] are pure.
//!
//! Tests find things by `data-testid`. Every input is `field-<name of the field in the API>`; besides:
//!
//! - set-up and sign-in: `setup-form`, `field-secret`, `field-name`, `field-password`, `field-repeat`,
//!   `setup-submit`; `sign-in-form`, `sign-in-submit`; `sign-out`
//! - shell: `nav-clusters`, `nav-runs`, `nav-approvals`, `nav-hosts`, `nav-audit`, `nav-settings`, `link-state`
//!   (attribute `data-state`: `connecting`, `live`, `retrying`), `link-banner`, `palette-open`, `palette`,
//!   `palette-query`, `key-sheet`, `theme-toggle`
//! - hosts: `host-add`, `host-dialog`, `host-save`, `host-row-<name>` (attributes `data-enrolment`, `data-test`),
//!   `host-open-<name>`, `enrol-dialog`, `host-scan`, `host-fingerprint`, `host-scan-confirm`, `host-test`,
//!   `host-check-<stage>` (attribute `data-state`: `ok`, `failed`, `open`), `host-done`, `host-edit`, `host-delete`,
//!   `host-delete-confirm`; credentials: `credential-mode-existing`, `credential-mode-generate`, `credential-mode-paste`,
//!   `credential-create`, `credential-public-key`, `credential-command`
//! - clusters: `cluster-new`, `cluster-card-<name>`, `cluster-create`, `member-role-<host name>`, `cluster-control-plane`,
//!   `cluster-applications`, `cluster-quorum`, `cluster-certificate`, `cluster-nodes`, `cluster-etcd`,
//!   `cluster-action-<workflow>`, `cluster-edit`, `cluster-delete`
//! - new run: `workflow-<name>`, `plan-show`, `plan-view`, `plan-sha256`, `run-start`; hosts of a field:
//!   `choice-<field>-<host name>`
//! - run: `run-status` (attribute `data-state`: the stored word), `run-notice`, `run-<command>` for each of pause, resume,
//!   stop, kill, retry, unwind, abandon, `run-confirm`; `gate`, `gate-comment` (`field-comment` inside), `field-confirm`,
//!   `gate-approve`, `gate-reject`, `gate-refresh`; `stage-<index>`, `step-<index>` (attribute `data-state`: the stored
//!   word), `tab-progress`, `tab-plan`, `tab-history`, `history`
//! - log: `log`, `log-line` (attributes `data-step`, `data-line`), `log-all`, `log-follow`, `log-wrap`, `log-search`,
//!   `log-copy`, `log-download`, `log-new-lines`, `log-count` (attribute `data-count`: rows of the choice)
//! - runs, approvals, audit, settings: `run-row-<id>`, `approval-<id>`, `audit-intact`, `audit-row`, `audit-older`,
//!   `user-add`, `user-save`, `user-row-<name>`, `user-delete-<name>`
//! - everywhere: `form-failure`, `dialog-confirm`

#![expect(unreachable_pub, reason = "the component macro writes `pub` itself")]

mod api;
mod app;
mod browser;
mod components;
mod format;
mod health;
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
