//! The environment that a unit gives its process: `Environment=` and `EnvironmentFile=`.

use super::{service_lines, words};

/// What a unit file with its drop-ins says of the environment.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UnitEnvironment {
    /// Paths of environment files, in order. What they set goes before [`UnitEnvironment::values`].
    pub files: Vec<String>,
    /// Names and values, in order; a later one of the same name wins.
    pub values: Vec<(String, String)>,
}

impl std::fmt::Debug for UnitEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnitEnvironment")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl UnitEnvironment {
    /// Reads a unit file and its drop-ins, one behind the other. `unit` is the unit's name, for the
    /// specifiers in paths. Lines that systemd would not understand are left out, as it does.
    #[must_use]
    pub fn parse(text: &str, unit: &str) -> Self {
        let mut found = Self::default();
        for line in service_lines(text) {
            let value = &text[line.value];
            match line.key {
                "Environment" => found.add_values(value),
                "EnvironmentFile" => found.add_file(value.trim(), unit),
                _ => {}
            }
        }
        found
    }

    fn add_values(&mut self, value: &str) {
        if value.trim().is_empty() {
            self.values.clear();
        }
        for word in words::split(value).unwrap_or_default() {
            if let Some((name, value)) = word.text.split_once('=') {
                self.values.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn add_file(&mut self, path: &str, unit: &str) {
        if path.is_empty() {
            self.files.clear();
            return;
        }
        let name = unit.rsplit_once('.').map_or(unit, |(name, _)| name);
        let path = path
            .trim_start_matches('-')
            .replace("%N", name)
            .replace("%p", name)
            .replace("%n", unit)
            .replace("%%", "%");
        if path.starts_with('/') {
            self.files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_installer_writes() {
        let text = include_str!("../../tests/recorded/k3s.service");
        let found = UnitEnvironment::parse(text, "k3s.service");
        assert_eq!(
            found.files,
            [
                "/etc/default/k3s",
                "/etc/sysconfig/k3s",
                "/etc/systemd/system/k3s.service.env"
            ]
        );
        assert_eq!(found.values, []);
    }

    #[test]
    fn an_empty_value_takes_back_the_ones_before() {
        let found = UnitEnvironment::parse(
            "[Unit]\nEnvironment=X=1\n[Service]\nEnvironment=A=1 \"B=2 3\"\nEnvironmentFile=/a\n# drop-in\n[Service]\nEnvironmentFile=\nEnvironmentFile=-/b/%n\nEnvironment=C=4\n",
            "k3s.service",
        );
        assert_eq!(found.files, ["/b/k3s.service"]);
        let names: Vec<(&str, &str)> = found
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(names, [("A", "1"), ("B", "2 3"), ("C", "4")]);
    }
}
