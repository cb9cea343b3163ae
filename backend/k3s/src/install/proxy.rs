//! The proxy that a node's k3s goes through: the installer's downloads go through it too.

use crate::env_file::EnvFile;

/// The proxy's variables in the lower case that most programs read.
pub const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "no_proxy"];

/// The proxy's variables of an environment file, by name; the last one of a name wins. A password may stand in them.
#[must_use]
pub fn proxies(env: &EnvFile) -> Vec<(String, String)> {
    PROXIES
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.to_ascii_uppercase()])
        .filter_map(|name| {
            let value = env.get(&name)?.to_owned();
            Some((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_proxy_is_taken_from_the_environment_file() {
        let env = EnvFile::parse(
            "K3S_TOKEN=x\nHTTPS_PROXY=http://old:1\nno_proxy=a\nHttp_Proxy=b\nHTTPS_PROXY=\"http://p:3128\"\nCONTAINERD_LOG=y\nNO_PROXY_X=z\n",
        );
        let found = proxies(&env);
        let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(found, [("HTTPS_PROXY", "http://p:3128"), ("no_proxy", "a")]);
    }
}
