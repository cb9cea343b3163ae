//! Which parts of a secret are masked wherever they turn up.

use coxswain_k3s::kubeconfig::Kubeconfig;
use coxswain_k3s::token::Token;
use zeroize::Zeroizing;

use crate::steps::services::SecretKind;

/// The parts of a value that must not be seen. Of a kind that is not known here: all of it.
pub(super) fn parts(kind: &str, value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let whole = || vec![value.to_vec()];
    let text = || std::str::from_utf8(value).ok().map(str::trim);
    let known = [
        SecretKind::ServerToken,
        SecretKind::Kubeconfig,
        SecretKind::FileBefore,
        SecretKind::KubeSecret,
    ]
    .into_iter()
    .find(|known| known.as_str() == kind);
    let parts = match known {
        Some(SecretKind::ServerToken) => text()
            .and_then(|t| t.parse::<Token>().ok())
            .map_or_else(whole, |token| token.secrets()),
        Some(SecretKind::Kubeconfig) => text()
            .and_then(|t| Kubeconfig::parse(t).ok())
            .map_or_else(whole, |config| config.secrets()),
        // Mostly ordinary lines: masking them would hide what people must see. Secrets inside are found by
        // their shape.
        Some(SecretKind::FileBefore) => Vec::new(),
        Some(SecretKind::KubeSecret) | None => whole(),
    };
    parts.into_iter().map(Zeroizing::new).collect()
}
