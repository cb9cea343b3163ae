//! Throttling of sign-ins: a token bucket for each name and address, one for each network, and one for all.
//!
//! Nobody is ever locked out: buckets fill again by themselves, and the bucket of one name and address
//! says nothing about the same name at another address. One network alone never empties the bucket of all, so
//! nobody is kept out by somebody elsewhere.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Buckets that are not full, of each sort, at most. What [`ALL`] lets through within the time in which a bucket
/// fills is far less.
const MAX_BUCKETS: usize = 1000;

/// No name of a user is longer; a longer one is counted by its beginning, so that a bucket stays small.
const LONGEST_NAME: usize = 64;

/// A bucket's size and speed.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// Five tries at once, then one in ten seconds.
const OWN: Rate = Rate {
    burst: 5.0,
    per_second: 0.1,
};
/// Twenty at once, then one in a second: an office behind one address, and no more than a share of [`ALL`].
const NETWORK: Rate = Rate {
    burst: 20.0,
    per_second: 1.0,
};
/// Forty at once, then five in a second: what bounds the work, not the guesses.
const ALL: Rate = Rate {
    burst: 40.0,
    per_second: 5.0,
};

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, at: Instant) -> Self {
        Self {
            left: rate.burst,
            at,
        }
    }

    fn fill(&mut self, rate: Rate, at: Instant) {
        let gained = at.saturating_duration_since(self.at).as_secs_f64() * rate.per_second;
        self.left = (self.left + gained).min(rate.burst);
        self.at = at;
    }

    fn wait(&self, rate: Rate) -> Option<Duration> {
        (self.left < 1.0).then(|| Duration::from_secs_f64((1.0 - self.left) / rate.per_second))
    }
}

/// Buckets by key. One that is not there is full.
#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    used: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            used: HashMap::new(),
        }
    }

    fn wait(&mut self, key: &K, at: Instant) -> Option<Duration> {
        let bucket = self.used.get_mut(key)?;
        bucket.fill(self.rate, at);
        bucket.wait(self.rate)
    }

    fn take(&mut self, key: K, at: Instant) {
        let rate = self.rate;
        if self.used.len() >= MAX_BUCKETS {
            self.used.retain(|_, bucket| {
                bucket.fill(rate, at);
                bucket.left < rate.burst
            });
        }
        if self.used.len() >= MAX_BUCKETS && !self.used.contains_key(&key) {
            return;
        }
        let bucket = self
            .used
            .entry(key)
            .or_insert_with(|| Bucket::full(rate, at));
        bucket.left -= 1.0;
    }
}

/// Counts tries.
#[derive(Debug, Default)]
pub struct Throttle {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    own: Buckets<(String, IpAddr)>,
    networks: Buckets<IpAddr>,
    all: Buckets<()>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            own: Buckets::new(OWN),
            networks: Buckets::new(NETWORK),
            all: Buckets::new(ALL),
        }
    }
}

impl Throttle {
    /// Takes one try, or says how long to wait for one. Who has to wait takes nothing from others.
    ///
    /// # Errors
    /// How long to wait.
    pub fn check(&self, name: &str, address: IpAddr, at: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let (own, network) = (key(name, address), network(address));
        let waits = [
            state.own.wait(&own, at),
            state.networks.wait(&network, at),
            state.all.wait(&(), at),
        ];
        if let Some(longest) = waits.into_iter().flatten().max() {
            return Err(longest);
        }
        state.own.take(own, at);
        state.networks.take(network, at);
        state.all.take((), at);
        Ok(())
    }

    /// The last try was good: forget the ones before.
    pub fn forgive(&self, name: &str, address: IpAddr) {
        self.state().own.used.remove(&key(name, address));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts stay usable after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(name: &str, address: IpAddr) -> (String, IpAddr) {
    let name = name.chars().take(LONGEST_NAME).collect::<String>();
    (name.to_ascii_lowercase(), address)
}

/// What one client has for sure: its IPv4 address, but all 2^64 IPv6 addresses of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_guesser_is_slowed_and_others_are_not() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..5 {
            assert!(throttle.check("ann", HERE, start).is_ok());
        }
        assert!(throttle.check("Ann", HERE, start).is_err());
        assert!(throttle.check("ann", THERE, start).is_ok());
        assert!(throttle.check("bob", HERE, start).is_ok());
        assert!(
            throttle
                .check("ann", HERE, start + Duration::from_secs(10))
                .is_ok()
        );
    }

    /// Names tried at once from addresses that `from` gives.
    fn flood(throttle: &Throttle, at: Instant, from: impl Fn(u16) -> IpAddr) -> usize {
        let passes = |n: &u16| throttle.check(&format!("u{n}"), from(*n), at).is_ok();
        (0..500).filter(passes).count()
    }

    #[test]
    fn one_network_does_not_keep_others_out() {
        let start = Instant::now();
        let throttle = Throttle::default();
        assert_eq!(flood(&throttle, start, |_| HERE), 20);
        assert!(throttle.check("ann", THERE, start).is_ok());
        for second in 1..600 {
            let at = start + Duration::from_secs(second);
            assert!(flood(&throttle, at, |_| HERE) <= 1);
            assert!(second % 10 != 0 || throttle.check("ann", THERE, at).is_ok());
        }
        // Nor with all the addresses that an IPv6 client has.
        let throttle = Throttle::default();
        let own = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, 1, 2, 3, n]);
        assert_eq!(flood(&throttle, start, own), 20);
        assert!(throttle.check("ann", THERE, start).is_ok());
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_passes() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let anywhere = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, 1]);
        assert_eq!(flood(&throttle, start, anywhere), 40);
        assert!(
            throttle
                .check("ann", THERE, start + Duration::from_secs(1))
                .is_ok()
        );
        let mut state = throttle.state();
        assert_eq!((state.own.used.len(), state.networks.used.len()), (41, 41));
        // Buckets that have filled again go when there are many.
        let later = start + Duration::from_secs(3600);
        for n in 0..2000 {
            state.networks.take(anywhere(n), later);
        }
        assert_eq!(state.networks.used.len(), MAX_BUCKETS);
    }

    #[test]
    fn long_names_take_no_room() {
        let throttle = Throttle::default();
        let long = "n".repeat(100_000);
        throttle.check(&long, HERE, Instant::now()).unwrap();
        let state = throttle.state();
        assert!(
            state
                .own
                .used
                .keys()
                .all(|(name, _)| name.len() == LONGEST_NAME)
        );
    }

    #[test]
    fn a_good_sign_in_clears_the_count() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..4 {
            throttle.check("ann", HERE, start).unwrap();
        }
        throttle.forgive("ann", HERE);
        for _ in 0..5 {
            assert!(throttle.check("ann", HERE, start).is_ok());
        }
    }
}
