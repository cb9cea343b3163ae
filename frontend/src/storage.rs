//! What the browser keeps between visits: choices of the person, and whether somebody was signed in. Nothing secret.

use crate::browser;

/// `light` or `dark`; absent: as the system likes. Also read by `assets/theme.js`.
pub(crate) const THEME: &str = "coxswain-theme";
/// `off` if single-key shortcuts are switched off.
pub(crate) const KEYS: &str = "coxswain-keys";
/// `on` if the log breaks long lines.
pub(crate) const WRAP: &str = "coxswain-wrap";
/// `yes` if somebody was signed in when the page was last used.
pub(crate) const SIGNED_IN: &str = "coxswain-signed-in";

/// None also where storage is switched off.
pub(crate) fn get(key: &str) -> Option<String> {
    browser::window()
        .local_storage()
        .ok()??
        .get_item(key)
        .ok()?
}

/// Keeps or forgets. Where storage is switched off the choice lasts until the page is closed.
pub(crate) fn set(key: &str, value: Option<&str>) {
    let Ok(Some(storage)) = browser::window().local_storage() else {
        return;
    };
    let kept = match value {
        Some(value) => storage.set_item(key, value),
        None => storage.remove_item(key),
    };
    // A full or forbidden storage is no reason to bother anybody.
    drop(kept);
}
