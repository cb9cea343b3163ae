use super::*;
use base64::Engine as _;
use proptest::prelude::*;

const HASH: &str = "26b819c1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const CANARY: &str = "Canary0123456789abcdefCANARY";

fn key() -> String {
    format!(
        "-----BEGIN EC PRIVATE KEY-----\nMHcC{}\nAAAA{}\n-----END EC PRIVATE KEY-----\n",
        "Q".repeat(60),
        "R".repeat(40)
    )
}

/// Texts with a canary where a secret is.
fn samples() -> Vec<String> {
    let c = CANARY;
    vec![
        format!("K10{HASH}::server:{c}\n"),
        format!("token is K10{HASH}::server:{c}, keep it"),
        format!("k3s server --token {c} --tls-san a\n"),
        format!("k3s server --token={c} --tls-san a\n"),
        format!("k3s agent -t 'K10{HASH}::node:{c}'\n"),
        format!("--agent-token \"{c}\""),
        format!("k3s server --token '{c} {c}' --debug\n"),
        format!("k3s server '--token={c} {c}' --debug\n"),
        format!("args:\n  - server\n  - --token\n  - {c}\n"),
        format!("[\n  \"--token\",\n  \"{c}\"\n]\n"),
        format!(
            "ExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--token' \\\n\t'{c}' \\\n\t'--tls-san' \\\n"
        ),
        format!("[\"server\",\"--token\",\"{c}\",\"--tls-san\"]"),
        format!("\"[\\\"server\\\",\\\"--token\\\",\\\"{c}\\\"]\""),
        format!("K3S_TOKEN={c}\n"),
        format!("export K3S_TOKEN='{c}'\n"),
        format!("K3S_TOKEN=\"{c}\" sh -"),
        format!("token: {c}\n"),
        format!("agent-token: \"{c}\"\nserver: x\n"),
        format!("{{\"token\":\"{c}\",\"a\":1}}"),
        format!("datastore-endpoint: \"mysql://user:{c}@tcp(db)/k3s\"\n"),
        format!("etcd-s3-secret-key: {c}\n"),
        format!("    client-key-data: {c}==\n"),
        format!("{{\"client-key-data\":\"{c}\"}}"),
        format!("Authorization: Bearer {c}\n"),
        format!("curl -H 'Authorization: Basic {c}' https://x\n"),
        format!("eyJhbGciOiJSUzI1NiJ9.{c}.{c}\n"),
        format!("postgres://k3s:{c}@db:5432/k3s\n"),
        format!("a\n-----BEGIN RSA PRIVATE KEY-----\n{c}\n{c}\n-----END RSA PRIVATE KEY-----\nb\n"),
        format!("{{\"k\":\"-----BEGIN PRIVATE KEY-----\\n{c}\\n-----END PRIVATE KEY-----\\n\"}}\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{c}\n"),
    ]
}

#[test]
fn masks_by_shape() {
    for sample in samples() {
        let masked = redact_text(&sample);
        assert!(!masked.contains("anary"), "{sample}\n{masked}");
        assert!(masked.contains(MASK), "{sample}\n{masked}");
        assert_eq!(
            redact_text(&masked),
            masked,
            "masking twice changes nothing"
        );
    }
}

#[test]
fn leaves_ordinary_output_alone() {
    for text in [
        include_str!("../../tests/recorded/join-failures.txt"),
        include_str!("../../tests/recorded/quorum-loss.txt"),
        "[INFO]  Using v1.31.4+k3s1 as release\n[INFO]  systemd: Starting k3s\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "--token-file /etc/token\n'--tls-san' \\\n'a' \\\n",
        "server: https://172.30.55.10:6443\ntls-san:\n- a\n- b\n",
        "no line end",
    ] {
        assert_eq!(redact_text(text), text);
    }
}

#[test]
fn keeps_what_surrounds_the_secret() {
    assert_eq!(
        redact_text(&format!("x --token {CANARY} --tls-san a\ny")),
        format!("x --token {MASK} --tls-san a\ny")
    );
    let text = format!("a\n{}b\n", key());
    assert_eq!(redact_text(&text), format!("a\n{MASK}\nb\n"));
}

#[test]
fn no_split_leaks() {
    for sample in samples() {
        let whole = redact_text(&sample);
        for at in 0..=sample.len() {
            let mut redactor = Redactor::new(vec![CANARY.as_bytes().to_vec()]);
            let (a, b) = sample.as_bytes().split_at(at);
            let mut out = redactor.push(a).safe;
            out.extend(redactor.push(b).safe);
            out.extend(redactor.finish().safe);
            assert!(!out.windows(6).any(|w| w == b"Canary"), "{sample} at {at}");
            let mut redactor = Redactor::new(vec![]);
            let mut out = redactor.push(a).safe;
            out.extend(redactor.push(b).safe);
            out.extend(redactor.finish().safe);
            assert_eq!(String::from_utf8_lossy(&out), whole, "at {at}");
        }
    }
}

#[test]
fn exact_values_in_every_form() {
    let secret = b"pa\"ss w\xc3\xb6rd/1234".to_vec();
    let b64 = base64::engine::general_purpose::STANDARD.encode(&secret);
    let inside = base64::engine::general_purpose::STANDARD
        .encode([b"server:".as_slice(), &secret, b"\n"].concat());
    let inside2 = base64::engine::general_purpose::STANDARD
        .encode([b"server::".as_slice(), &secret, b"xyz"].concat());
    let json = serde_json::to_string(&String::from_utf8(secret.clone()).unwrap()).unwrap();
    for text in [
        String::from_utf8(secret.clone()).unwrap(),
        b64,
        inside,
        inside2,
        json,
    ] {
        let out = Redactor::new(vec![secret.clone()]).redact_all(format!("<{text}>\n").as_bytes());
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains(MASK), "{text} -> {out}");
        assert!(out.starts_with('<'), "{out}");
    }
}

#[test]
fn a_secret_cut_off_by_the_end_of_the_stream_is_masked() {
    let out = Redactor::new(vec![CANARY.as_bytes().to_vec()]).redact_all(b"value Canary0123");
    assert_eq!(String::from_utf8(out).unwrap(), format!("value {MASK}"));
}

#[test]
fn secrets_with_line_breaks() {
    let secret = format!("first {CANARY}\nsecond {CANARY}\nthird");
    let text = format!("a\n{secret}\nb\n");
    for at in 0..text.len() {
        let mut redactor = Redactor::new(vec![secret.clone().into_bytes()]);
        let mut out = redactor.push(&text.as_bytes()[..at]).safe;
        out.extend(redactor.push(&text.as_bytes()[at..]).safe);
        out.extend(redactor.finish().safe);
        assert_eq!(String::from_utf8(out).unwrap(), format!("a\n{MASK}\nb\n"));
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    // An endless line without a break.
    let mut redactor = Redactor::new(vec![]);
    for _ in 0..100 {
        redactor.push(&[b'x'; 10_000]);
        assert!(
            redactor.held.len() <= 2 * MAX_HELD,
            "{}",
            redactor.held.len()
        );
    }
    let released = redactor.push(b"\nnext\n");
    assert_eq!(released.raw_to, 1_000_006);
    assert_eq!(
        String::from_utf8(released.safe).unwrap(),
        "‹1000000 bytes without a break withheld›\nnext\n"
    );
    // A private key that never ends.
    let mut redactor = Redactor::new(vec![]);
    let mut out = redactor.push(b"-----BEGIN PRIVATE KEY-----\n").safe;
    for _ in 0..4000 {
        out.extend(redactor.push(format!("{CANARY}\n").as_bytes()).safe);
        assert!(redactor.held.len() <= 2 * MAX_HELD);
    }
    assert!(out.starts_with(MASK.as_bytes()));
}

#[test]
fn long_lines_are_cut_where_no_secret_is() {
    let mut line = "word ".repeat(20_000);
    line.insert_str(60_000, &format!("--token {CANARY} "));
    line.push('\n');
    let mut redactor = Redactor::new(vec![]);
    let released = redactor.push(line.as_bytes());
    assert_eq!(released.raw_to, line.len() as u64);
    let text = String::from_utf8(released.safe).unwrap();
    assert_eq!(text, line.replace(CANARY, MASK));
}

fn fragments() -> impl Strategy<Value = String> {
    let mut all = samples();
    all.extend(
        [
            "\n",
            " ",
            "word ",
            "--token",
            "'--token' \\\n",
            "K10",
            CANARY,
            "-----BEGIN ",
            "x\r\n",
        ]
        .map(str::to_owned),
    );
    all.push("y".repeat(20_000));
    all.push("long, ".repeat(5_000));
    all.push(key());
    proptest::collection::vec(proptest::sample::select(all), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn chunks_do_not_matter_and_a_fresh_redactor_continues(
        text in fragments(),
        cuts in proptest::collection::vec(0usize..60_000, 0..20),
    ) {
        let secrets = vec![CANARY.as_bytes().to_vec(), b"two\nlines of it".to_vec()];
        let whole = Redactor::new(secrets.clone()).redact_all(text.as_bytes());
        prop_assert!(!whole.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()));

        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut redactor = Redactor::new(secrets.clone());
        let mut out = Vec::new();
        let mut resumed = None;
        for pair in cuts.windows(2) {
            let released = redactor.push(&text.as_bytes()[pair[0]..pair[1]]);
            out.extend(released.safe);
            // As after a crash: what was given out stays, a fresh one reads on from the raw offset.
            if resumed.is_none() && released.raw_to > 0 {
                let rest = &text.as_bytes()[usize::try_from(released.raw_to).unwrap()..];
                let mut again = out.clone();
                again.extend(Redactor::new(secrets.clone()).redact_all(rest));
                resumed = Some(again);
            }
        }
        let last = redactor.finish();
        prop_assert_eq!(last.raw_to, text.len() as u64);
        out.extend(last.safe);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&whole));
        if let Some(again) = resumed {
            prop_assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&whole));
        }
    }
}

/// An open key is looked at line by line, not from its beginning for each line.
#[test]
fn a_long_open_key_is_read_once() {
    let mut text = "-----BEGIN RSA PRIVATE KEY-----\n".to_owned();
    while text.len() < 60 * 1024 {
        text.push_str("QUJD\n");
    }
    patterns::LOOKED_AT.with(|bytes| bytes.set(0));
    let mut redactor = Redactor::new(Vec::new());
    for piece in text.as_bytes().chunks(100) {
        assert!(redactor.push(piece).safe.is_empty());
    }
    assert_eq!(patterns::LOOKED_AT.with(std::cell::Cell::get), text.len());
    let safe = redactor.finish().safe;
    assert_eq!(String::from_utf8(safe).unwrap(), format!("{MASK}\n"));
}
